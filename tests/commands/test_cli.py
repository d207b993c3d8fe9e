"""The front door: every command is declared, loads, and helps; a wrong word is answered with the nearest one."""

from __future__ import annotations

import os
import shlex
import subprocess  # noqa: TID251  # a shell, whose pipe is what is tried
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.translate import FORMS
from harness.checkpoints.untrusted import MOST_KEPT
from harness.commands.cli import COMMANDS, main, read
from harness.commands.declarations import checkpoints
from harness.commands.declarations.command import Command
from harness.model import expectations
from harness.model.cells import CgroupVersion
from harness.run.flags import CGROUPS, EVERY, SETTINGS, name_of
from harness.run.options import Options
from harness.stacks import definition

ROOT = Path(__file__).resolve().parents[2]
MAIN = "import sys; from harness.commands.cli import main; sys.exit(main())"
FORKY = 'name = "debian-forky"\ndescription = "Debian 14"\nsuite = "forky"\nruntimes = ["runc"]\n'


def every_command() -> Iterator[Command]:
    for command in COMMANDS.values():
        yield from command.tasks or (command,)


EVERY_COMMAND = list(every_command())
named = pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda command: command.name)


def options_of(name: str) -> set[str]:
    words = (word for flag, _ in COMMANDS[name].arguments for word in flag.split())
    return {word for word in words if word.startswith("--")}


def helped(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    found = capsys.readouterr()
    assert found.out == ""
    return found.err


# ---- what is declared


@named
def test_what_a_command_does_can_be_loaded(command: Command) -> None:
    assert callable(command.load())


@pytest.mark.parametrize("columns", ["40", "80", "200"])
@pytest.mark.parametrize("command", [*EVERY_COMMAND, COMMANDS["history"]], ids=lambda command: command.name)
def test_help_is_80_columns_wide_and_has_exit_codes_and_two_examples(
    command: Command, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = helped(command.name.split(), capsys)
    usage, told = text.split("\n\n", 1)
    copied = {f"  {example}" for example in command.examples}
    assert [line for line in usage.splitlines() if len(line) > 80] == []
    assert [line for line in told.splitlines() if len(line) > min(80, int(columns)) and line not in copied] == []
    assert len(command.examples) == 2
    assert all(f"\n  {example}\n" in text for example in command.examples)
    assert {0, 2, 70} <= {
        int(line[:3]) for line in text.partition("exit codes:\n")[2].splitlines() if line[2:3].isdigit()
    }


@pytest.mark.parametrize("example", [each for command in EVERY_COMMAND for each in command.examples])
def test_an_example_can_be_typed(example: str) -> None:
    for part in example.split("|"):
        words = [word for word in shlex.split(part) if word != "sudo"]
        if words[0] == "stillframe":
            read(words[1:])


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_list_of_commands_is_80_columns_wide(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    wide = [line for line in text.splitlines() if len(line) > min(80, int(columns))]
    assert [line for line in wide if not line.startswith("  sudo stillframe run ")] == []
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert main([]) == 0
    assert capsys.readouterr().out == text


def test_a_command_has_the_options_that_mean_something_to_it() -> None:
    assert options_of("doctor") == {"--cache", "--mirror", "--stack", "--with", "--as"}
    assert options_of("plan") == {
        *("--stack", "--runtime", "--policy", "--workload", "--suite", "--cell", "--interop", "--shard"),
        *("--rounds", "--rate", "--count", "--with", "--as", "--alone"),
    }
    assert options_of("run") >= {flag for flag, _ in SETTINGS}
    assert options_of("show") == {"--trial", "--run", "--out"}
    building = {"--with", "--as", "--build", "--needs", "--install"}
    assert options_of("shell") == {"--share", "--ring", "--cgroups", "--cache", "--mirror", *building}
    assert not {"--rounds", "--rate", "--seed", "--proof"} & (options_of("images") | options_of("compatible"))
    assert not {"--rounds", "--rate", "--ring", "--proof", "--cell"} & options_of("corpus")


def test_an_option_that_a_command_does_not_have_keeps_its_default() -> None:
    _, arguments = read(["plan", "--stack", "host"])
    options = Options.of(arguments)
    assert (options.stack, options.ring, options.cgroups) == (("host",), 65536, CgroupVersion.V2)
    assert options.seed >= 0


def test_what_help_offers_is_what_there_is() -> None:
    assert CGROUPS[1]["choices"] == list(CgroupVersion)
    offered = {flag: declaration.get("choices") for flag, declaration in checkpoints.TRANSLATE.arguments}
    assert offered["--to"] == [form.name for form in FORMS]
    assert offered["--runtime"] == list(Runtime)
    assert offered["--criu"] == list(OldCriu)
    assert checkpoints.MOST_GIB << 30 == MOST_KEPT


def test_every_option_of_a_run_is_a_value() -> None:
    assert {name_of(flag) for flag, _ in EVERY} == {*Options.model_fields, "variant"}, "its name is in each build"


# ---- wrong words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plna"], "unknown command 'plna'. Did you mean 'plan'?"),
        (["xyzzy"], "unknown command 'xyzzy'\n`stillframe` lists all commands."),
        (["plan", "--ruonds", "3"], "unknown option '--ruonds'. Did you mean '--rounds'?"),
        (["plan", "--stak=host"], "unknown option '--stak'. Did you mean '--stack'?"),
        (["run", "-n", "2", "--wrokers", "3"], "unknown option '--wrokers'. Did you mean '--workers'?"),
        (["doctor", "--xyzzy"], "unknown option '--xyzzy'\n"),
        (["plan", "host"], "unknown argument 'host'"),
        (["history", "ad", "x"], "unknown task 'ad'. Did you mean 'add'?\nTasks of history: add, list, prune."),
        (["history"], "a task is missing\nTasks of history: add, list, prune."),
        (["inspect", "x", "--max-bytes", "20X"], "'20X' is not a number of bytes, such as 20G"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(words, capsys)


def test_nobody_has_to_read_all_of_the_help() -> None:
    script = '("$0" "$@"; echo $? >&2) | true'
    for words in ([], ["--help"], ["run", "--help"]):
        command = ["sh", "-c", script, sys.executable, "-c", MAIN, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ)
        assert done.stderr in ("141\n", "0\n"), "it may be faster than its reader"


# ---- who adds a stack, or a known issue


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with our stacks, for one more."""
    for path in definition.folder().glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(definition, "folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_stack_is_told_to_be_outside_of_the_plan_and_can_be_chosen(
    stacks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stacks / "debian-forky.toml").write_text(FORKY, encoding="utf-8")
    assert main(["plan", "--count"]) == 0
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "Not in the default plan: debian-forky, host. Choose stacks with --stack NAME."
    assert main(["plan", "--stack", "debian-forky"]) == 0
    found = capsys.readouterr()
    assert found.out
    assert all("runc@debian-forky" in line for line in found.out.splitlines())
    assert "Not in the default plan" not in found.err


def test_a_new_stack_without_runtimes_is_told_to_need_one(stacks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = FORKY.replace('runtimes = ["runc"]\n', "")
    (stacks / "debian-forky.toml").write_text(text, encoding="utf-8")
    assert main(["plan", "--count"]) == 0
    assert "plan: debian-forky (with --runtime: it has no `runtimes`), host." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FORKY + 'packges = ["runc"]\n', "debian-forky.toml:5: packges: is not a field here. Did you mean 'packages'?"),
        (
            FORKY.replace("runc", "rnuc"),
            "debian-forky.toml:4: runtimes[1]: unknown runtime 'rnuc'. Valid: containerd, ",
        ),
        (
            FORKY.replace('"runc"', '"runc", "runc"'),
            "debian-forky.toml:4: runtimes[2]: 'runc' is named twice. Remove one.",
        ),
    ],
)
@pytest.mark.parametrize("command", ["plan", "doctor", "run"])
def test_a_wrong_stack_is_told_with_its_line_whatever_is_chosen(
    stacks: Path, capsys: pytest.CaptureFixture[str], text: str, told: str, command: str
) -> None:
    (stacks / "debian-forky.toml").write_text(text, encoding="utf-8")
    chosen = [] if command == "doctor" else ["--stack", "debian-sid"]
    assert main([command, *chosen]) == (3 if command == "doctor" else 2)
    found = capsys.readouterr()
    assert told in (found.out if command == "doctor" else found.err)


@pytest.mark.parametrize("command", ["plan", "doctor", "run"])
def test_a_wrong_known_issue_is_told_with_its_line_and_each_on_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "a.toml").write_text('[[expectation]]\nmatch = ["*"]\noutcmoe = "hung"\n', encoding="utf-8")
    monkeypatch.setattr(expectations, "folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    expectations.declared.cache_clear()
    try:
        assert main([command]) == (3 if command == "doctor" else 2)
    finally:
        expectations.declared.cache_clear()
    found = capsys.readouterr()
    text = found.out if command == "doctor" else found.err
    assert "a.toml:3: expectation.outcmoe: is not a field here. Did you mean 'outcome'?" in text
    assert "a.toml:1: expectation.link: is missing. Add it: upstream discussion or documentation" in text
    assert "pydantic" not in text
    assert all(line.count("a.toml:") <= 1 for line in text.splitlines())


@pytest.mark.parametrize("number", ["0", "-5", "x", "1e9"])
def test_a_run_needs_a_worker(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--workers", number])
    assert ended.value.code == 2
    assert f"'{number}' is not a number of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["plan", "--count"], ["show", "ledger.none.runc@debian-sid"]])
def test_a_folder_that_is_gone_is_told(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(words) == 2
    assert capsys.readouterr().err == "stillframe: the current folder no longer exists. Go to another folder.\n"
