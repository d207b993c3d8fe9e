"""Definitions, messages and the compiler, without a workload that runs."""

from __future__ import annotations

import json
import shutil
import subprocess  # noqa: TID251
from pathlib import Path

import pytest

from harness.host.compiler import INSTALL
from harness.model.cells import SurfaceKind
from harness.model.errors import EnvironmentUnfit, RecordError, UsageError
from harness.workload import definitions
from harness.workload.definitions import Workload, available, find, load
from harness.workload.messages import Beat, read_messages
from harness.workload.programs import compile_workload

# ---- the channel is a container's


def test_what_is_no_message_is_never_followed(tmp_path: Path) -> None:
    beat = {"event": "beat", "nonce": "0" * 16, "n": 1, "wall_ns": 2, "n_wall_ns": 2, "gap_ns": 0}
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(beat))
    channel = tmp_path / "channel"
    channel.mkdir()
    (channel / "000000000000").write_text(json.dumps(beat))
    (channel / "000000000001").mkdir()
    (channel / "message").symlink_to(json.dumps(beat))
    (channel / "00000000001\u0661").symlink_to(json.dumps(beat))
    (channel / "000000000007").symlink_to(json.dumps(beat))
    assert [(number, type(message)) for number, message in read_messages(channel)] == [(7, Beat)]
    (channel / "000000000008").symlink_to(secret)
    assert read_messages(channel, after=8) == []
    with pytest.raises(RecordError, match="000000000008 is not a message"):
        read_messages(channel)


@pytest.mark.parametrize("change", [{"event": "bite"}, {"n": -1}, {"n": 2**64}, {"nonce": "x"}, {"more": 1}])
def test_a_message_of_another_shape_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    beat = {"event": "beat", "nonce": "0" * 16, "n": 1, "wall_ns": 2, "n_wall_ns": 2, "gap_ns": 0}
    (tmp_path / "000000000000").symlink_to(json.dumps(beat | change))
    with pytest.raises(RecordError, match="is not a message"):
        read_messages(tmp_path)


# ---- definitions and the compiler


def test_the_ledger_is_defined() -> None:
    ledger = find("ledger")
    assert [(each.name, each.kind) for each in ledger.surfaces] == [
        ("added", SurfaceKind.ADDED),
        ("tmpfs", SurfaceKind.TMPFS),
    ]
    assert ledger.argv("/ledger", "/report", period_us=5, ring=64) == (
        *("/ledger", "--period-us", "5", "--ring", "64", "--report", "/report"),
        *("--surface", "added=/data/added.ring"),
        *("--surface", "tmpfs=/scratch/tmpfs.ring"),
    )


def test_a_deleted_surface_has_an_option_of_its_own() -> None:
    assert find("deleted-file").argv("/ledger", "/report", period_us=0, ring=4)[-4:] == (
        *("--surface", "added=/data/added.ring"),
        *("--deleted", "deleted=/image/deleted"),
    )


def test_a_file_has_the_option_of_its_form() -> None:
    appended = find("appended")
    assert appended.argv("/ledger", "/report", period_us=0, ring=4)[-6:] == (
        *("--sentinel", "first=/data/0-first"),
        *("--append", "appended=/data/appended"),
        *("--sentinel", "last=/data/z-last"),
    )
    assert appended.moving


@pytest.mark.parametrize(("name", "tty", "every_policy"), [("chatty", False, True), ("chatty-tty", True, False)])
def test_what_prints_has_an_option_of_its_own_and_no_path(name: str, tty: bool, every_policy: bool) -> None:
    chatty = find(name)
    assert chatty.argv("/ledger", "/report", period_us=0, ring=4)[-4:] == (
        *("--surface", "added=/data/added.ring"),
        *("--print", "stdout=1"),
    )
    assert [each.name for each in chatty.files] == ["added"]
    assert chatty.printed == chatty.surfaces[-1]
    assert (chatty.printed.kind, chatty.printed.path, chatty.printed.every) == (SurfaceKind.STDOUT, "", 1)
    assert (chatty.tty, chatty.every_policy) == (tty, every_policy)


def test_most_workloads_print_nothing_and_ask_under_the_policy_that_holds_best() -> None:
    others = [find(name) for name in available() if not name.startswith("chatty")]
    assert all(each.printed is None and not each.tty and not each.every_policy for each in others)
    assert all(each.path or each.memory for every in others for each in every.surfaces)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "stdout"', 'kind = "stdout"\npath = "/dev/stdout"', "standard output has no path"),
        ('kind = "stdout"', 'kind = "stdout"\nevery = 0', "surfaces.every: must be at least 1, not 0"),
        ('kind = "stdout"', 'kind = "stdout"\nevery = 1000001', "surfaces.every: must be at most 1000000, not 1000001"),
        ('path = "/data/added.ring"\n', "", ":9: surfaces.1.: a surface that is a file needs a path. Add it."),
        ('path = "/data/added.ring"', 'path = "data"', "surfaces.path: must match the pattern"),
        ('kind = "added"', 'kind = "added"\nevery = 2', "surfaces.every: only standard output skips ticks. Remove it."),
        (
            'path = "/data/added.ring"\nkind = "added"',
            'kind = "stdout"',
            "surfaces: two surfaces are standard output. Remove one.",
        ),
        (
            'kind = "stdout"',
            'kind = "stdout"\nform = "append"',
            "form: a surface of kind stdout has no form of its own.",
        ),
        (
            'kind = "added"',
            'kind = "image"\nform = "sentinel"',
            "form: a surface of kind image has no form of its own.",
        ),
        ('kind = "stdout"', 'kind = "tmpfs"\npath = "/scratch/x"', "tty: has a terminal, but prints nothing."),
    ],
)
def test_a_definition_of_what_prints_that_makes_no_sense_is_refused(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    folder = tmp_path / "chatty-tty"
    folder.mkdir()
    text = (available()["chatty-tty"] / "workload.toml").read_text()
    assert old in text
    (folder / "workload.toml").write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=says):
        load(folder)


@pytest.mark.parametrize(
    ("name", "mounts"),
    [
        ("ledger", ((SurfaceKind.TMPFS, "/scratch"),)),
        ("image-file", ()),
        ("image-file-on-host", ()),
        ("deleted-file", ()),
        ("chatty", ()),
        ("chatty-tty", ()),
        ("volumes", ((SurfaceKind.NAMED_VOLUME, "/named"), (SurfaceKind.ANONYMOUS_VOLUME, "/anonymous"))),
        ("bind-mount", ((SurfaceKind.BIND, "/bind"),)),
        ("shm", ((SurfaceKind.TMPFS, "/scratch"), (SurfaceKind.SHM, "/dev/shm"))),
    ],
)
def test_a_workload_says_what_has_to_be_mounted(name: str, mounts: tuple[tuple[SurfaceKind, str], ...]) -> None:
    assert find(name).mounts == mounts


def test_two_surfaces_on_one_mount_ask_for_it_once() -> None:
    shm = find("shm")
    second = shm.surfaces[1].model_copy(update={"name": "second", "path": "/scratch/second.ring"})
    assert shm.model_copy(update={"surfaces": (*shm.surfaces, second)}).mounts == shm.mounts


def test_every_kind_of_surface_is_in_a_definition_and_every_definition_has_a_source() -> None:
    workloads = [find(name) for name in available()]
    assert {surface.kind for each in workloads for surface in each.surfaces} == set(SurfaceKind)
    assert all(any(each.program_folder.glob("*.c")) for each in workloads)


def test_a_source_that_several_workloads_share_is_compiled_once(tmp_path: Path) -> None:
    binary = compile_workload(trivial(tmp_path), tmp_path / "cache")
    shared = tmp_path / "shm"
    shutil.copytree(available()["shm"], shared)
    assert compile_workload(load(shared), tmp_path / "cache") == binary


def test_an_unknown_workload_is_told_with_its_nearest_match() -> None:
    with pytest.raises(UsageError, match=r"unknown workload 'leger'.*Did you mean 'ledger'"):
        find("leger")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "ledger"', 'name = "other"', ":1: name: must be 'ledger' like the folder, not 'other'"),
        ('name = "ledger"', "", "workload.toml: name: is missing"),
        ('kind = "tmpfs"', 'kind = "disk"', "surfaces.kind: must be one of"),
        ('name = "tmpfs"', 'name = "added"', "surfaces: two surfaces have the same name or path. Rename one."),
        ("[[surfaces]]", "[[facades]]", "facades"),
        ('program = "ledger"', 'program = ""', ":3: program: must match the pattern"),
        ('program = "ledger"', 'program = ".."', ":3: program: must match the pattern"),
        ('program = "ledger"', 'program = "../ledger"', ":3: program: must match the pattern"),
        ('program = "ledger"', 'program = "/ledger"', ":3: program: must match the pattern"),
        ('program = "ledger"', 'program = "leger"', r":3: program: 'leger' has no C file in .*/leger\."),
        ("[[surfaces]]", "[[surfaces", "not TOML"),
    ],
)
def test_a_wrong_definition_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    text = (available()["ledger"] / "workload.toml").read_text()
    assert old in text
    (folder / "workload.toml").write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=says):
        load(folder)


def trivial(tmp_path: Path, source: str = "int main(void) { return 0; }\n") -> Workload:
    folder = tmp_path / "ledger"
    folder.mkdir(exist_ok=True)
    shutil.copy(available()["ledger"] / "workload.toml", folder)
    (folder / "ledger.c").write_text(source)
    return load(folder)


MAIN = '#include "answer.h"\nint main(void) { return answer(); }\n'
HEADER = "#define ANSWER 3\nint answer(void);\n"
ANSWER = '#include "answer.h"\nint answer(void) { return ANSWER; }\n'


@pytest.mark.parametrize(
    ("file", "content", "returns"),
    [
        ("ledger.c", MAIN.replace("answer();", "answer() + 1;"), 4),
        ("answer.c", ANSWER.replace("ANSWER;", "2 * ANSWER;"), 6),
        ("answer.h", HEADER.replace("3", "7"), 7),
    ],
)
def test_a_program_is_all_c_files_of_its_folder_and_compiled_again_when_one_has_changed(
    tmp_path: Path, file: str, content: str, returns: int
) -> None:
    workload = trivial(tmp_path, MAIN)
    (workload.folder / "answer.c").write_text(ANSWER)
    (workload.folder / "answer.h").write_text(HEADER)
    first = compile_workload(workload, tmp_path / "cache")
    assert subprocess.run([first], check=False).returncode == 3
    (workload.folder / file).write_text(content)
    second = compile_workload(workload, tmp_path / "cache")
    assert second != first
    assert subprocess.run([second], check=False).returncode == returns


def test_a_binary_is_compiled_once_and_again_when_it_or_its_source_has_changed(tmp_path: Path) -> None:
    binary = compile_workload(trivial(tmp_path), tmp_path / "cache")
    made = binary.stat()
    assert made.st_mode & 0o7777 == 0o755
    assert compile_workload(trivial(tmp_path), tmp_path / "cache").stat().st_ino == made.st_ino
    binary.write_bytes(b"damaged")
    assert compile_workload(trivial(tmp_path), tmp_path / "cache") == binary
    assert subprocess.run([binary], check=False).returncode == 0
    other = compile_workload(trivial(tmp_path, "int main(void) { return 3; }\n"), tmp_path / "cache")
    assert other != binary
    assert subprocess.run([other], check=False).returncode == 3
    assert sorted(path.name for path in binary.parent.iterdir()) == ["ledger", "sha256"]


@pytest.mark.parametrize(("cc", "says"), [("", "there is no C compiler"), ("no-such-cc -m64", "CC names 'no-such-cc'")])
def test_a_machine_without_compiler_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cc: str, says: str
) -> None:
    monkeypatch.setenv("CC", cc)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnfit, match=f"{says}.*{INSTALL}"):
        compile_workload(find("ledger"), tmp_path / "cache")


def test_a_compiler_that_cannot_do_it_is_told_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnfit, match="the program ledger cannot be compiled"):
        compile_workload(trivial(tmp_path, "#error no libc\n"), tmp_path / "cache")
    assert not list(tmp_path.glob("cache/workloads/*/*"))


def test_a_definition_that_cannot_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost/workload.toml").symlink_to("nowhere")
    monkeypatch.setattr(definitions, "_ROOT", tmp_path)
    with pytest.raises(UsageError, match=r"lost/workload\.toml cannot be read"):
        find("lost")
