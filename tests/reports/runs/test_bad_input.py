"""Damaged runs: a clear message or a correct page, never a broken page."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model.errors import RecordError
from harness.records.record import SCHEMA_VERSION
from reports.formats.report import report
from reports.runs.shards import find
from tests.reports.synthetic import MOVING, STILL, expected_run, plan, store

MANY = int(os.environ.get("STILLFRAME_FUZZ", "0"))
NUMBERS = (0, -1, 2**63, -(2**63), 2**64, 10**30, 10**400, 1e308, -1e308, float("inf"), float("nan"), "7", True, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return store(tmp_path / "run", plan((MOVING, STILL), 2), expected_run((MOVING, STILL), 2))


def records(folder: Path) -> Path:
    return folder / "records" / f"{STILL.slug}.jsonl"


def change(path: Path, line: int, *where: str | int, to: Any) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    raw = json.loads(lines[line - 1])
    inner = raw
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = to
    lines[line - 1] = json.dumps(raw)
    path.write_text("".join(f"{each}\n" for each in lines), encoding="utf-8")


def verdict(folder: Path) -> tuple[int, str]:
    """Return exit code and sentence of a report with strictly valid JSON."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    page, run = report([folder], folder.parent / "site")
    json.loads((page.parent / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)
    return run.conclusion.exit_code.value, run.conclusion.sentence


def test_the_run_is_one_in_which_all_is_well(folder: Path) -> None:
    assert verdict(folder) == (0, "All 2 cells are as expected, in 4 trials.")


NEWER = (
    f"has schema version {SCHEMA_VERSION + 1}, but this program reads versions up to {SCHEMA_VERSION}. "
    "Use a newer stillframe."
)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: change(path, 2, "schema_version", to=SCHEMA_VERSION + 1), rf":2 {NEWER}"),
        (lambda path: change(path, 2, "schema_version", to=SCHEMA_VERSION + 1.0), r":2 has schema version 3\.0"),
        (
            lambda path: change(path, 1, "cell", "policy", to="sometimes"),
            r":1 is not a valid record: cell\.policy: must be one of",
        ),
        (lambda path: change(path, 1, "\x1b[2J", to=1), r":1 is not a valid record: �\[2J: is not a field$"),
        (lambda path: change(path, 1, "x" * 9_999, to=1), r":1 is not a valid record: x{200}…$"),
        (
            lambda path: change(path, 1, "skews", 0, "ticks", to=10**30),
            r":1 is not a valid record: skews\.0\.ticks: must be",
        ),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b"0.0,", b"1e999,", 1)),
            r":1 is not a valid record: source\.longest_gap_us: ",
        ),
        (
            lambda path: path.write_bytes(b"\0" * 99 + b"\n" + path.read_bytes()),
            r":1 is not a valid record: expected value",
        ),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n", 1)), r":2 is not a valid record: EOF"),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"", 1)),
            r":1 is not a valid record: trailing characters",
        ),
        (lambda path: (path.unlink(), path.mkdir()), r" cannot be read: it is a folder, not a regular file$"),
        (
            lambda path: (path.unlink(), path.symlink_to("nowhere")),
            r" cannot be read: it is a symbolic link, not a reg",
        ),
    ],
)
def test_what_is_no_record_is_told_by_file_line_and_reason(
    folder: Path, damage: Callable[[Path], object], told: str
) -> None:
    damage(records(folder))
    with pytest.raises(RecordError) as raised:
        verdict(folder)
    said = str(raised.value)
    assert re.search(f"^{re.escape(str(records(folder)))}{told}", said)
    assert "\n" not in said
    assert not (folder.parent / "site").exists(), "no partial report"


@pytest.mark.parametrize("name", ["plan", "closing"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "EOF while parsing"),
        (b'{"run": "', "EOF while parsing"),
        (b"\xff\xfe", "expected value"),
        (b"{}", "run: is missing"),
        (b"[]", "must be a table"),
        (json.dumps({"schema_version": SCHEMA_VERSION + 1}).encode(), NEWER),
    ],
)
def test_so_are_a_plan_and_a_last_word(folder: Path, name: str, content: bytes, told: str) -> None:
    (folder / f"{name}.json").write_bytes(content)
    with pytest.raises(RecordError, match=rf"^{folder / name}\.json (is not a valid {name}: )?{told}"):
        verdict(folder)


def test_of_a_truncated_run_what_is_lost_is_missing(folder: Path) -> None:
    path = records(folder)
    path.write_bytes(path.read_bytes()[:-7])
    assert verdict(folder) == (3, f"1 of 2 cells with incomplete evidence: {STILL.id}.")


def test_a_run_without_any_records_is_all_missing(folder: Path) -> None:
    for path in (folder / "records").iterdir():
        path.unlink()
    (folder / "records").rmdir()
    code, sentence = verdict(folder)
    assert code == 3
    assert "2 of 2 cells with incomplete evidence" in sentence


def test_what_may_not_be_read_is_told_with_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    stored = find(folder)
    monkeypatch.setattr("harness.foreign.files.os.open", refuse)  # root may read everything
    with pytest.raises(RecordError, match=r"jsonl cannot be read: Permission denied\. Only the user who made the run"):
        list(stored.records())


PLACES = [
    ("records", *where)
    for where in (
        ("trial",),
        ("start_ns",),
        ("end_ns",),
        ("schedule", "seed"),
        ("schedule", "planned_delay_us"),
        ("schedule", "realised_delay_us"),
        ("skews", 0, "ticks"),
        ("skews", 0, "microseconds"),
        ("readings", 0, "counter"),
        ("readings", 0, "counter_wall_ns"),
        ("readings", 0, "surfaces", 0, "newest_wall_ns"),
        ("timeline", 1, "start_ns"),
        ("timeline", 1, "end_ns"),
        ("source", "lost_ticks"),
        ("source", "longest_gap_us"),
        ("commands", 1, "seconds"),
        ("commands", 1, "exit_code"),
        ("host", "memory_gib"),
    )
] + [("plan", *where) for where in (("created_ns",), ("seed",), ("rounds",), ("rate",), ("host", "cpus"))]


@given(where=st.sampled_from(PLACES), number=st.sampled_from(NUMBERS) | st.integers() | st.floats())
@settings(
    max_examples=MANY or 60,
    deadline=None,
    derandomize=not MANY,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_a_number_is_there_is_a_sentence_or_a_page(
    tmp_path_factory: pytest.TempPathFactory, where: tuple[Any, ...], number: Any
) -> None:
    made = store(tmp_path_factory.mktemp("any") / "run", plan((STILL,), 2), expected_run((STILL,), 2))
    change(records(made) if where[0] == "records" else compact(made / "plan.json"), 1, *where[1:], to=number)
    with contextlib.suppress(RecordError):
        verdict(made)


def compact(path: Path) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8"))) + "\n", encoding="utf-8")
    return path
