"""Run folders that are broken, hostile or odd; each is made from a good one."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.reports.synthetic import STILL

TIB = 1 << 40
ELSEWHERE = "elsewhere"
"""Name of a folder beside the run, which nothing may read or write."""


CONTROL = {"name": "ring-byte", "cell": STILL.model_dump(mode="json"), "outcome": "inconsistent"}


class Bad(NamedTuple):
    """A way to break a run folder, and what every command that reads the run says about it."""

    name: str
    make: Callable[[Path], object]
    told: str
    """Regular expression."""


def records(run: Path) -> Path:
    return run / "records" / f"{STILL.slug}.jsonl"


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def device(path: Path) -> None:
    """Make a file of zeros without an end."""
    path.unlink()
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))


def listening(path: Path) -> None:
    path.unlink()
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/{path.name}")  # a socket's path may have 107 bytes
    os.close(here)


def link(path: Path) -> None:
    """Move a file or folder out of the run, and leave a link."""
    outside = path.parents[len(path.relative_to(run_of(path)).parts)] / ELSEWHERE
    outside.mkdir(exist_ok=True)
    path.rename(outside / path.name)
    path.symlink_to(outside / path.name)


def run_of(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.name == "run")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(TIB)


def text(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def replaced(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def changed(path: Path, **values: Any) -> None:
    """Change fields of the first object in a file."""
    first, *others = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    lines = [json.dumps(json.loads(first) | values), *others]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def stranger(**names: str) -> dict[str, Any]:
    cell = STILL.model_dump(mode="json")
    return cell | names


PLAN = (
    Bad(
        "plan is a pipe", lambda run: fifo(run / "plan.json"), r"plan\.json cannot be read: it is a pipe, not a regular"
    ),
    Bad(
        "plan is a device",
        lambda run: device(run / "plan.json"),
        r"plan\.json cannot be read: it is a character device",
    ),
    Bad("plan is a socket", lambda run: listening(run / "plan.json"), r"plan\.json cannot be read: it is a socket"),
    Bad("plan is a link", lambda run: link(run / "plan.json"), r"plan\.json cannot be read: it is a symbolic link"),
    Bad("plan is a folder", lambda run: folder(run / "plan.json"), r"plan\.json cannot be read: it is a folder"),
    Bad(
        "plan has no end", lambda run: sparse(run / "plan.json"), r"plan\.json cannot be read: it has more than 16,777"
    ),
    Bad("plan is empty", lambda run: text(run / "plan.json", b""), r"plan\.json is not a valid plan: EOF"),
    Bad(
        "plan is deep", lambda run: text(run / "plan.json", b"[" * 9**6), r"not a valid plan: recursion limit exceeded"
    ),
    Bad(
        "plan has a long number",
        lambda run: replaced(run / "plan.json", b'"seed": 7', b'"seed": ' + b"7" * 10**6),
        "not a valid plan: number out of range",
    ),
    Bad("plan has NaN", lambda run: replaced(run / "plan.json", b'"rate": null', b'"rate": NaN'), "not a valid plan: "),
    Bad(
        "plan has a huge time",
        lambda run: changed(run / "plan.json", created_ns=10**30),
        "not a valid plan: created_ns: must be",
    ),
    Bad(
        "plan is not UTF-8",
        lambda run: replaced(run / "plan.json", b"Debian", b"\xff\xfe"),
        "not a valid plan: invalid unicode code point",
    ),
    Bad(
        "plan has a name twice",
        lambda run: replaced(run / "plan.json", b'"seed": 7', b'"seed": 7, "seed": 8'),
        "not a valid plan: seed is there twice",
    ),
    Bad("run leads out", lambda run: changed(run / "plan.json", run="../../x"), "not a valid plan: run: must match"),
    Bad(
        "run has signs",
        lambda run: changed(run / "plan.json", run="a\x9b31m\u202e\u2028"),
        "not a valid plan: run: must",
    ),
    Bad("run is long", lambda run: changed(run / "plan.json", run="x" * 201), "not a valid plan: run: .* at most 200"),
    Bad(
        "cell leads out",
        lambda run: changed(run / "plan.json", cells=[stranger(workload="../../x")]),
        r"not a valid plan: cells\.0\.workload: must match",
    ),
    Bad(
        "shards without an end",
        lambda run: changed(run / "plan.json", shard={"number": 1, "of": 10**18}),
        r"not a valid plan: shard\.of: must be at most 10000",
    ),
    Bad(
        "shard beyond the last",
        lambda run: changed(run / "plan.json", shard={"number": 3, "of": 2}),
        r"not a valid plan: shard: .*there is no share 3 of 2",
    ),
    Bad(
        "control has no pattern",
        lambda run: changed(run / "plan.json", controls=[CONTROL | {"signature": "("}]),
        "not a valid plan: .*'\\(' is not a regular expression: missing",
    ),
    Bad(
        "control has a huge pattern",
        lambda run: changed(run / "plan.json", controls=[CONTROL | {"signature": "a{99999999999}"}]),
        "not a valid plan: .*is not a regular expression: the repetition number is too large",
    ),
    Bad(
        "control has a deep pattern",
        lambda run: changed(run / "plan.json", controls=[CONTROL | {"signature": "(" * 9**5}]),
        "not a valid plan: .*is not a regular expression: ",
    ),
    Bad("closing is a pipe", lambda run: fifo(run / "closing.json"), r"closing\.json cannot be read: it is a pipe"),
    Bad(
        "closing is a link", lambda run: link(run / "closing.json"), r"closing\.json cannot be read: it is a symbolic l"
    ),
    Bad(
        "closing has no end",
        lambda run: sparse(run / "closing.json"),
        r"closing\.json cannot be read: it has more than",
    ),
)
"""Found by every command that opens a run, also without its records."""

RECORDS = (
    Bad(
        "records are a link",
        lambda run: link(run / "records"),
        r"records cannot be read: it is a symbolic link, not a f",
    ),
    Bad("record file is a pipe", lambda run: fifo(records(run)), r"jsonl cannot be read: it is a pipe"),
    Bad("record file is a device", lambda run: device(records(run)), r"jsonl cannot be read: it is a character device"),
    Bad("record file is a link", lambda run: link(records(run)), r"jsonl cannot be read: it is a symbolic link"),
    Bad(
        "line has no end",
        lambda run: sparse(records(run)),
        r"jsonl cannot be read: line 1 has more than 16,777,216 byt",
    ),
    Bad(
        "record is deep",
        lambda run: text(records(run), b'{"x":' * 9**6 + b"\n"),
        r"jsonl:1 is not a valid record: recursion limit exceeded",
    ),
    Bad(
        "record leads out",
        lambda run: changed(records(run), cell=stranger(way="../../x")),
        r"jsonl:1 is not a valid record: cell\.way: must match",
    ),
    Bad(
        "record is not UTF-8",
        lambda run: replaced(records(run), b"a trial", b"\xff trial"),
        r"jsonl:1 is not a valid record: invalid unicode",
    ),
)
"""Found by every command that reads records."""

REST = (
    Bad(
        "tombstone is a pipe", lambda run: fifo(run / "tombstone.json"), r"tombstone\.json cannot be read: it is a pipe"
    ),
    Bad("images are a pipe", lambda run: fifo(run / "images.jsonl"), r"images\.jsonl cannot be read: it is a pipe"),
    Bad(
        "images have no end",
        lambda run: sparse(run / "images.jsonl"),
        r"images\.jsonl cannot be read: it has more than",
    ),
)
"""Found by commands that sum up a run."""

CLOSELY = (
    Bad(
        "record has a name twice",
        lambda run: replaced(records(run), b'"trial":0', b'"trial":0,"trial":1'),
        r"jsonl:1 is not a valid record: trial is there twice",
    ),
)
"""Found by commands that look closely at a trial."""
