"""Ways to break what is outside of Stillframe: what is broken, the command line, its exit code, and its sentence."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.host.process import HOST
from tests.real_checkpoints import plain
from tests.reports.synthetic import MOVING, STILL, expected_run, plan, store

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = f"""#!/bin/sh
PYTHONPATH={ROOT} exec {sys.executable} -c 'import sys; from harness.commands.cli import main; sys.exit(main())' "$@"
"""
WORDS = f"""
small() {{ mkdir -p "$1" && mount -t tmpfs -o size=64k none "$1"; }}
full() {{ small "$1" && ! cat /dev/zero >"$1/filled" 2>/dev/null; }}
protected() {{ mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$PWD"; }}
powerless() {{ if [ "$(id -u)" = 0 ]; then setpriv --bounding-set=-dac_override,-dac_read_search "$@"; else "$@"; fi; }}
scenarios() {{ PYTHONPATH={ROOT} {sys.executable} -m pytest -c {ROOT}/pyproject.toml {ROOT}/scenarios "$@"; }}
scaling() {{ PYTHONPATH={ROOT} {sys.executable} -m harness.measure.scaling "$@"; }}
long=$(printf 'x%.0s' $(seq 300))
"""
"""What the lines of the table may say: break a folder, or leave out root's power over permissions."""
FULL, READ_ONLY = (
    "cannot be written: No space left on device. Free some space",
    "cannot be written: Read-only file system",
)
LONG, FILE = (
    "cannot be written: File name too long. Choose a shorter name",
    "file cannot be written: Not a directory. A file has",
)
DENIED = "cannot be written: Permission denied. Choose a folder of your own"
CELL = "--cell ledger.pause.runc@debian-trixie"


class Row(NamedTuple):
    """A way to break the outside."""

    broken: str
    line: str
    code: int
    sentence: str
    root: bool = False
    """It needs root: a mount in a namespace of its own, or a run."""


TARGETS = (
    Row("a full disk", "full site; stillframe report out/latest --out site/x", 3, FULL, root=True),
    Row("a disk that fills up", "small site; stillframe report out/latest --out site", 3, FULL, root=True),
    Row("a read-only disk", "protected .; stillframe report out/latest --out site", 3, READ_ONLY, root=True),
    Row("a read-only run", "protected .; stillframe report out/latest", 3, READ_ONLY, root=True),
    Row("a long name", 'stillframe report out/latest --out "$long"', 3, LONG),
    Row("a file for a folder", "touch file; stillframe report out/latest --out file", 3, FILE),
    Row("a folder in a file", "touch file; stillframe report out/latest --out file/site", 3, FILE),
    Row("no permission", "chmod 555 .; powerless stillframe report out/latest --out site", 3, DENIED),
    Row(
        "a folder that is gone", "mkdir x; cd x; rmdir ../x; stillframe plan", 2, "the current folder no longer exists"
    ),
    Row("help on a full disk", "PYTHONUNBUFFERED=1 stillframe report --help >/dev/full", 3, "No space left on device"),
    Row("a name of nothing", 'stillframe report out/latest --out ""', 2, "the name is empty"),
    Row("a run of no name", 'stillframe history add runs ""', 2, "the name is empty"),
    Row("one column", "COLUMNS=1 stillframe pool nowhere", 2, "nowhere holds no run"),
    Row("a pipe for a summary", "mkfifo p; GITHUB_STEP_SUMMARY=p stillframe report out/latest", 0, "index.html"),
    Row("a share of nothing", 'stillframe plan --shard ""', 2, "is not a share of a run"),
    Row("an option after --", "stillframe compare a -- b --json", 2, "unknown argument '--json'"),
    Row("history: a full disk", "full runs; stillframe history add runs out/latest", 3, FULL, root=True),
    Row("history: a disk that fills up", "small runs; stillframe history add runs out/latest", 3, FULL, root=True),
    Row("history: a read-only disk", "protected .; stillframe history add runs out/latest", 3, READ_ONLY, root=True),
    Row("history: a file for a folder", "touch file; stillframe history add file out/latest", 3, FILE),
    Row("history: a long name", 'stillframe history add "$long" out/latest', 3, LONG),
    Row(
        "history: read-only when it is pruned",
        "stillframe history add runs out/latest; protected runs; stillframe history prune runs --keep-logs 0",
        3,
        READ_ONLY,
        root=True,
    ),
    Row(
        "compare: full output",
        "stillframe compare out/latest out/latest --json >/dev/full",
        3,
        "standard output cannot",
    ),
    Row(
        "pool: full output", "stillframe pool out/latest --json >/dev/full", 3, "standard output cannot be written: No"
    ),
    Row("plan: full output", "stillframe plan >/dev/full", 3, "standard output cannot be written: No space left"),
    Row(
        "translate: a full disk",
        "full to; stillframe translate live.tar --runtime crun -o to/x",
        3,
        "No space",
        root=True,
    ),
    Row("translate: a long name", 'stillframe translate live.tar --runtime crun -o "$long"', 3, "File name too long"),
    Row("translate: no folder", "stillframe translate live.tar --runtime crun -o no/x", 2, "there is no folder"),
    Row("inspect: no TMPDIR", "TMPDIR=/dev/null stillframe inspect live.tar", 0, "consistent"),
    Row("run: a full disk", f"full out2; stillframe run {CELL} --out out2", 3, FULL, root=True),
    Row("run: a read-only disk", f"protected .; stillframe run {CELL} --out new", 3, READ_ONLY, root=True),
    Row("run: a file for a folder", f"touch file; stillframe run {CELL} --out file", 3, FILE, root=True),
    Row("run: a long name", f'stillframe run {CELL} --out "$long"', 3, LONG, root=True),
    Row("run: no permission", f"chmod 555 .; powerless stillframe run {CELL} --out new", 3, DENIED, root=True),
    Row("run: a file for the cache", f"touch file; stillframe run {CELL} --cache file", 3, FILE, root=True),
    Row(
        "run: a file in the variable",
        f"touch file; STILLFRAME_CACHE=$PWD/file stillframe run {CELL}",
        3,
        FILE,
        root=True,
    ),
    Row(
        "corpus: a read-only disk",
        "protected .; stillframe corpus keep kept --stack debian-trixie",
        3,
        READ_ONLY,
        root=True,
    ),
    Row("images: a read-only disk", "protected .; stillframe images --out new", 3, READ_ONLY, root=True),
    Row("images: a read-only run", "protected .; stillframe images --run out/latest", 3, READ_ONLY, root=True),
)
MEASURED = (
    Row("ci/bench: a file for a folder", "touch file; scaling --json file/x", 3, FILE),
    Row("ci/bench: a read-only disk", "protected .; scaling --json x", 3, READ_ONLY, root=True),
)
WRONG = (
    Row("a stray word", "stillframe run debian-sid", 2, "unknown argument 'debian-sid'"),
    Row("an unknown option", "stillframe run --stak host", 2, "unknown option '--stak'. Did you mean '--stack'?"),
    Row("an unknown option, handed on", "stillframe run -- --xyzzy", 2, "unrecognized arguments: --xyzzy", root=True),
    Row("a stray word, handed on", "stillframe run -- foo", 2, "unknown argument 'foo'", root=True),
    Row(
        "words, handed on, that choose nothing", f"stillframe run {CELL} -- -k nothing", 2, "no test matches", root=True
    ),
    Row("pytest: an unknown option", "scenarios --xyzzy", 2, "unrecognized arguments: --xyzzy"),
    Row("pytest: a stray word", "scenarios foo", 2, "unknown argument 'foo'"),
    Row("pytest: a word for a number", "scenarios --rounds x", 2, "argument --rounds: invalid int value: 'x'"),
    Row("pytest: no value", "scenarios --rounds", 2, "argument --rounds: expected one argument"),
    Row("pytest: an unknown name", "scenarios --runtime rnc", 2, "unknown runtime 'rnc'"),
    Row("no worker", "stillframe run -n 0", 2, "'0' is not a number of at least 1"),
    Row("fewer workers than none", "stillframe run -n -2", 2, "'-2' is not a number of at least 1"),
    Row("a word for workers", "stillframe run -n two", 2, "'two' is not a number of at least 1"),
    Row("no trial", "stillframe run --rounds 0", 2, "--rounds 0: must be at least 1"),
    Row("a rate above 1", "stillframe run --rate 2", 2, "--rate 2.0: must be less than 1"),
    Row(
        "two numbers of trials",
        "stillframe run --rounds 2 --rate 0.5",
        2,
        "--rounds 2 and --rate 0.5 exclude each other",
    ),
    Row("a shard without a seed", "stillframe run --shard 1/2", 2, "--shard 1/2 needs a --seed"),
    Row("a shard that is not there", "stillframe plan --shard 3/2", 2, "--shard '3/2' is not a share"),
    Row("an unknown name", "stillframe plan --stack hots", 2, "unknown stack 'hots'"),
    Row(
        "choices without a cell",
        "stillframe plan --stack host --policy hook --runtime podman/crun",
        2,
        "Without --policy",
    ),
    Row(
        "a cell outside of the choice",
        f"stillframe plan --stack host {CELL}",
        2,
        "--stack excludes --cell ledger.pause",
    ),
    Row(
        "a cell that is not there", "stillframe plan --cell ledger.pause.rnc@host", 2, "Nearest: ledger.pause.runc@host"
    ),
    Row("no such run", "stillframe report nothing", 2, "nothing holds no run: there is no plan.json. Name a run"),
    Row("no run to compare with", "stillframe compare out/latest nothing", 2, "nothing holds no run"),
    Row("no history", "stillframe history list out/latest", 2, "out/latest is not a history"),
    Row("no cross-restore", "stillframe fingerprint out/latest", 2, "cross-restore: `stillframe run --interop`."),
    Row(
        "compatible: no such checkpoint", "stillframe compatible nothing.tar", 2, "nothing.tar cannot be read: No such"
    ),
    Row("no such checkpoint", "stillframe inspect nothing.tar", 2, "nothing.tar cannot be read: No such file"),
    Row("no checkpoints to try", "stillframe corpus try out", 2, "out holds no kept checkpoint"),
)
LACKING = (
    Row("no HOME", "unset HOME; stillframe plan --count", 0, "Not in the default plan"),
    Row("an empty HOME", "HOME= stillframe plan --count", 0, "Not in the default plan"),
    Row("a HOME that is not there", "HOME=/nowhere stillframe plan --count", 0, "Not in the default plan"),
    Row(
        "no program that builds a stack",
        f"ln -s $(command -v cc) bin; PATH=$PWD/bin stillframe run {CELL} --cache new --out new",
        3,
        "cannot run (runc@debian-trixie): stacks cannot be built: mmdebstrap is not installed",
        root=True,
    ),
    Row(
        "no compiler",
        f"PATH=$PWD/bin stillframe run {CELL} --cache new --out new",
        3,
        "there is no C compiler: none of cc, gcc, clang is installed. Install gcc",
        root=True,
    ),
)
ROWS = (*TARGETS, *MEASURED, *WRONG, *LACKING)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and a checkpoint, and the command line in `bin`."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "bin").mkdir()
    (folder / "bin/stillframe").write_text(PROGRAM, encoding="utf-8")
    (folder / "bin/stillframe").chmod(0o755)
    cells = [MOVING, STILL]
    store(folder / "out/run", plan(cells), expected_run(cells))
    (folder / "out/latest").symlink_to("run")
    (folder / "live.tar").write_bytes(plain("still-ledger"))
    return folder


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.broken)
def test_what_is_broken_outside_has_its_exit_code_and_its_sentence(row: Row, outside: Path, tmp_path: Path) -> None:
    if row.root and os.geteuid() != 0:
        pytest.skip("needs root")
    folder = tmp_path / "here"
    shutil.copytree(outside, folder, symlinks=True)
    alone = ["unshare", "--mount"] if row.root else []
    path = f"{folder}/bin:{os.environ['PATH']}"
    done = HOST.run(
        [*alone, "sh", "-c", WORDS + row.line], cwd=str(folder), env={"PATH": path}, accept=range(256), deadline=120
    )
    said = done.stdout + done.stderr
    assert (done.exit_code, row.sentence in said) == (row.code, True), said
    assert "Traceback" not in said
    told = [line for line in done.stderr.splitlines() if line.startswith(("stillframe: ", "Exit: "))]
    assert len(told) <= 1, "one sentence"
    if row.code == 2:
        assert not [path for path in folder.glob("out/*") if path.name not in ("run", "latest")], "nothing was begun"


def test_a_way_to_break_the_outside_is_in_the_table_once() -> None:
    assert len({row.broken for row in ROWS}) == len(ROWS) >= 40
