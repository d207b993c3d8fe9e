from __future__ import annotations

import argparse
import os
import pwd
import re
from pathlib import Path

import pytest

from harness.model.cells import CgroupVersion, Settings
from harness.model.errors import UsageError
from harness.records.shard import Shard
from harness.run import matrix
from harness.run.flags import CHOICES, SETTINGS, add_to, default_cache
from harness.run.options import Options
from harness.stacks import definition


def parsed(*words: str) -> Options:
    parser = argparse.ArgumentParser()
    add_to(parser, CHOICES, SETTINGS)
    arguments = parser.parse_args(words)
    return Options.read(lambda name: getattr(arguments, name, ()))


def test_nothing_is_asked_for_by_default() -> None:
    options = parsed()
    assert (options.stack, options.runtime, options.policy, options.cell) == ((), (), (), ())
    assert options.cells == matrix.plan()


def test_a_file_stands_for_the_stack_that_it_defines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "_BROUGHT", {})
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\ndescription = "A stack"\nroot = "/"\nruntimes = ["runc"]\n', encoding="utf-8")
    options = parsed("--stack", str(own), "--cell", "ledger.pause.*@own")
    assert options.stack == ("own",)
    assert [cell.id for cell in options.cells] == ["ledger.pause.runc@own"]
    words = options.arguments()
    assert words[words.index("--stack") + 1] == str(own), "another process has to find it, too"
    assert parsed(*words) == options


def test_a_stack_that_names_no_runtimes_says_where_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "_BROUGHT", {})
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\ndescription = "A stack"\nroot = "/"\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"no cell matches --stack own\. own names no `runtimes`\. Name one"):
        _ = parsed("--stack", str(own)).cells
    assert parsed("--stack", str(own), "--runtime", "runc").cells


def test_every_option_is_read(tmp_path: Path) -> None:
    words = ["--stack", "host", "--stack", "debian-sid", "--runtime", "crun", "--policy", "none", "--cell", "*"]
    words += [
        "--rounds",
        "3",
        "--seed",
        "9",
        "--period-us",
        "100",
        "--ring",
        "64",
        "--cgroups",
        "v1",
        "--mirror",
        "http://m/debian",
    ]
    words += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert parsed(*words) == Options(
        stack=("host", "debian-sid"),
        runtime=("crun",),
        policy=("none",),
        cell=("*",),
        rounds=3,
        seed=9,
        period_us=100,
        ring=64,
        cgroups=CgroupVersion.V1,
        mirror="http://m/debian",
        out=tmp_path / "out",
        cache=tmp_path / "cache",
    )


def test_the_choices_reach_the_plan() -> None:
    options = parsed("--stack", "host", "--runtime", "crun", "--policy", "hook", "--cell", "*.hook.*")
    assert [cell.id for cell in options.cells] == ["ledger.hook.crun@host"]


def test_cells_are_chosen_one_by_one_or_not() -> None:
    assert not parsed("--stack", "host", "--runtime", "crun", "--policy", "none").chosen
    assert parsed("--cell", "*").chosen


def test_what_all_cells_share_goes_into_the_plan() -> None:
    options = parsed("--ring", "64", "--period-us", "5", "--cgroups", "v1")
    assert options.settings == Settings(ring=64, period_us=5, cgroups=CgroupVersion.V1)


def test_names_are_kept_on_request_alone() -> None:
    assert (parsed().keep_names, parsed("--keep-names").keep_names) == (False, True)
    assert "--keep-names" in parsed("--keep-names").arguments()
    assert "--keep-names" not in parsed().arguments()


def test_a_seed_is_drawn_when_none_is_given() -> None:
    assert len({parsed().seed for _ in range(8)}) > 1


def test_folders_stay_where_they_were_named_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = parsed("--out", "a/out", "--cache", "b")
    assert (options.out, options.cache) == (tmp_path / "a" / "out", tmp_path / "b")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--rounds", "0"),
        ("--rounds", "-1"),
        ("--rounds", "100001"),
        ("--period-us", "-1"),
        ("--period-us", "10000001"),
        ("--ring", "3"),
        ("--ring", "1048577"),
    ],
)
def test_a_wrong_value_is_answered_in_one_sentence_that_names_the_flag(flag: str, value: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(flag, value)
    assert str(raised.value).startswith(f"{flag} {value}: ")
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--rate", "0.05"],
        ["--shard", "3/16", "--seed", "12345678901"],
        ["--stack", "host", "--stack", "debian-sid", "--runtime", "runc", "--policy", "hook", "--cell", "*.hook.*"],
        [
            "--seed",
            "-5",
            "--rounds",
            "7",
            "--ring",
            "4",
            "--period-us",
            "1",
            "--cgroups",
            "v1",
            "--mirror",
            "http://m/a b",
        ],
    ],
)
def test_options_survive_as_a_command_line(words: list[str]) -> None:
    options = parsed(*words)
    assert parsed(*options.arguments()) == options


# ---- how often a cell is tried


@pytest.mark.parametrize(
    ("words", "trials"), [([], 6), (["--rounds", "7"], 7), (["--rate", "0.05"], 59), (["--rate", "0.00003"], 99_857)]
)
def test_a_cell_is_tried_as_often_as_was_asked_or_as_the_rate_takes(words: list[str], trials: int) -> None:
    assert parsed(*words).trials == trials


def test_rounds_and_a_rate_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"--rounds 5 and --rate 0\.05 exclude each other\. Leave one of them out"):
        parsed("--rate", "0.05", "--rounds", "5")


@pytest.mark.parametrize("rate", ["0", "1", "-0.1", "1.5", "nan", "inf", "1e-5", "1e-300", "5e-324"])
def test_a_rate_that_no_number_of_trials_can_bound_is_refused(rate: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed("--rate", rate)
    assert str(raised.value).startswith("--rate ")
    assert raised.value.exit_code == 2


# ---- a share of a run


def test_a_share_is_of_the_same_plan(tmp_path: Path) -> None:
    whole, part = parsed("--seed", "7"), parsed("--seed", "7", "--shard", "2/3")
    assert (part.cells, part.controls, part.rule) == (whole.cells, whole.controls, whole.rule)
    assert whole.share == (whole.cells, whole.controls)
    assert part.share == Shard(number=2, of=3).share(whole.cells, whole.controls)
    assert 0 < len(part.share[0]) < len(whole.cells)


def test_a_share_needs_the_seed_of_the_others() -> None:
    with pytest.raises(UsageError, match=r"^--shard 2/3 needs a --seed\. Give all shards the same"):
        parsed("--shard", "2/3")


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--shard '4/3' is not a share of a run"):
        parsed("--shard", "4/3", "--seed", "7")


def test_the_rule_is_told_in_words_and_numbers() -> None:
    choice = ["--stack", "host", "--runtime", "runc"]
    fixed, sequential = parsed(*choice, "--rounds", "60").rule, parsed(*choice, "--rate", "0.05").rule
    assert "60 trials per cell. If all 60 are clean, the true failure rate is below 4.9 % (95 % confidence)." in fixed
    assert "Up to 59 trials per cell; the first violation ends them." in sequential
    assert "below 5 % (95 % confidence)" in sequential
    assert "A cell that never fails is never convicted." in sequential
    assert "passes in at most 5 % of the runs." in sequential
    assert re.search(r"depend on timing \(\d+ of \d+\), get 12 trials, which prove less\.$", fixed)
    assert re.search(r"depend on timing \(\d+ of \d+\), get 11 trials, which prove less\.$", sequential)
    assert "timing" not in parsed("--cell", "ledger.none.runc@debian-sid").rule
    assert parsed("--cell", "ledger.none.runc@debian-sid", "--rounds", "1").rule == (
        "1 trial per cell. If it is clean, the true failure rate is below 95.0 % (95 % confidence)."
    )


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"STILLFRAME_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/stillframe"),
        ({}, "/c/.cache/stillframe"),
        ({"STILLFRAME_CACHE": "", "XDG_CACHE_HOME": ""}, "/c/.cache/stillframe"),
        ({"HOME": ""}, f"{pwd.getpwuid(os.getuid()).pw_dir}/.cache/stillframe"),
    ],
)
def test_the_cache_follows_the_environment(
    environment: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STILLFRAME_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/c", **environment}.items():
        monkeypatch.setenv(name, value)
    assert default_cache() == Path(folder)


def test_a_user_without_a_home_has_the_cache_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STILLFRAME_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert default_cache() == Path("/var/cache/stillframe")
