"""What is known to be wrong is declared in files, each strictly and for a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import expectations, matrix
from harness.errors import UsageError
from harness.expectations import MOVING, STILL, Declaration, Expectation, Named, declared, known
from harness.image_path import Base, ImagePath
from harness.images.study import planned
from harness.model import Anomaly, Cell, FreezePolicy, Outcome, Participant, Scenario
from harness.runtimes import RUNTIMES
from harness.stacks import definition

RUNC = Participant(runtime="runc", stack="debian-sid")
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=RUNC, restore=RUNC)
OTHER = CELL.model_copy(update={"workload": "volumes"})
REVIEW = dt.date(2026, 12, 24)
SOUND = """
[[expectation]]
cells = ["*.pause.runc@*"]
outcome = "inconsistent"
anomaly = "disk-behind"
signature = 'holds [+-]\\d+ ticks'
reason = "the layer is copied before the dump"
link = "https://example.org/issues/1"
review = 2026-12-24
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of declarations of its own."""
    declared.cache_clear()
    monkeypatch.setattr(expectations, "folder", lambda: tmp_path)
    yield tmp_path
    declared.cache_clear()


def declare(folder: Path, text: str = SOUND, name: str = "a.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    declared.cache_clear()
    return path


def declaration(**changes: Any) -> Declaration:
    given: dict[str, Any] = {
        "cells": ("*",),
        "outcome": "hung",
        "reason": "it hangs",
        "link": "https://example.org/1",
        "review": REVIEW,
    }
    return Declaration(**(given | changes))


# ---- what a declaration says


def test_what_is_declared_of_a_cell_is_expected_of_it(folder: Path) -> None:
    declare(folder)
    assert known(CELL, REVIEW) == Expectation(
        outcome=Outcome.INCONSISTENT,
        anomaly=Anomaly.DISK_BEHIND,
        signature=r"holds [+-]\d+ ticks",
        reason="the layer is copied before the dump",
        link="https://example.org/issues/1",
        review=REVIEW,
    )


@pytest.mark.parametrize("rate", [(0.0, 1.0), (0.01, 0.2)])
def test_what_shows_sometimes_has_a_rate(folder: Path, rate: tuple[float, float]) -> None:
    declare(folder, SOUND + f"rate = {list(rate)}\n")
    assert known(CELL, REVIEW).rate == rate
    assert known(CELL, REVIEW + dt.timedelta(days=1)).rate is None, "past its review"


def test_of_other_cells_nothing_is_known(folder: Path) -> None:
    assert known(CELL, REVIEW) is STILL
    declare(folder)
    assert known(CELL.model_copy(update={"policy": FreezePolicy.HOOK}), REVIEW) is STILL


def test_every_file_counts(folder: Path) -> None:
    declare(folder, SOUND.replace("*.pause.*", "a.*"), "b.toml")
    declare(folder, SOUND + SOUND.replace("inconsistent", "hung"), "a.toml")
    declare(folder, "no TOML at all", "README.md")
    assert [each.outcome for each in declared()] == ["inconsistent", "hung", "inconsistent"]


def test_an_empty_file_declares_nothing(folder: Path) -> None:
    declare(folder, "# nothing is known to be wrong\n")
    assert declared() == ()


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        ("ledger.pause.runc@debian-sid", True),
        ("ledger.pause.runc@*", True),
        ("*.runc@debian-sid", True),
        ("ledger.[hp]*.runc@*", True),
        ("ledger.pause.runc", False),
        ("Ledger.*", False),
        ("paused:ledger.pause.runc@*", False),
        ("*+commit", False),
    ],
)
def test_cells_are_named_by_pattern(pattern: str, covers: bool) -> None:
    assert declaration(cells=("nothing", pattern)).covers(CELL) is covers


def test_a_scenario_and_a_way_belong_to_the_name() -> None:
    cell = CELL.model_copy(update={"scenario": Scenario.PAUSED, "way": "commit"})
    assert declaration(cells=("paused:*+commit",)).covers(cell)
    assert not declaration(cells=("ledger.*",)).covers(cell)


@pytest.mark.parametrize(
    ("signature", "lines", "signed"),
    [
        ("", (), True),
        ("", ("anything",), True),
        ("criu failed", ("before", "runc: criu failed: type NOTIFY"), True),
        (r"^Error \(criu", ("(00.1) Error (criu/x.c)",), False),
        (r"errno \d+$", ("errno 52",), True),
        ("criu failed", (), False),
        ("criu failed", ("criu", "failed"), False),
    ],
)
def test_a_signature_has_to_be_on_one_of_the_lines(signature: str, lines: tuple[str, ...], signed: bool) -> None:
    assert declaration(signature=signature).expectation().signed(*lines) is signed


# ---- for a time


@pytest.mark.parametrize(("days", "counts"), [(-400, True), (0, True), (1, False), (400, False)])
def test_a_declaration_counts_up_to_its_day_of_review(folder: Path, days: int, counts: bool) -> None:
    declare(folder)
    found = known(CELL, REVIEW + dt.timedelta(days=days))
    assert found.outcome is (Outcome.INCONSISTENT if counts else Outcome.CONSISTENT)


def test_one_that_does_not_count_any_more_tells_what_was_known(folder: Path) -> None:
    declare(folder)
    found = known(CELL, REVIEW + dt.timedelta(days=1))
    assert (found.anomaly, found.signature, found.review) == (None, "", None)
    assert "2026-12-24" in found.reason
    assert "the layer is copied before the dump" in found.reason
    assert found.link == "https://example.org/issues/1"
    assert found != STILL, "so that it is in the plan"


@pytest.mark.parametrize("days", [0, 1])
def test_what_is_expected_otherwise_is_what_remains(folder: Path, days: int) -> None:
    assert known(CELL, REVIEW, otherwise=MOVING) is MOVING
    declare(folder)
    found = known(CELL, REVIEW + dt.timedelta(days=days), otherwise=MOVING)
    assert (found.anomaly, found.control) == ((MOVING.anomaly, True) if days else (Anomaly.DISK_BEHIND, False))


# ---- wrong files


WRONG = {
    "no TOML": "expectation = ",
    "no list": "expectation = 5\n",
    "a single one, not in a list": SOUND.replace("[[", "[").replace("]]", "]"),
    "another word for it": SOUND.replace("[[expectation]]", "[[expectations]]"),
    "something beside": SOUND + "[other]\n",
    "unknown key": SOUND + "colour = 1\n",
    "unknown outcome": SOUND.replace("inconsistent", "inconsistant"),
    "unknown anomaly": SOUND.replace("disk-behind", "disk-under"),
    "no cells": SOUND.replace('"*.pause.runc@*"', ""),
    "cells that are no list": SOUND.replace('["*.pause.runc@*"]', '"*.pause.runc@*"'),
    "no outcome": SOUND.replace('outcome = "inconsistent"\n', ""),
    "no reason": SOUND.replace('reason = "the layer is copied before the dump"\n', ""),
    "no link": SOUND.replace('link = "https://example.org/issues/1"\n', ""),
    "a link that is none": SOUND.replace("https://example.org/issues/1", "issue 1"),
    "no review": SOUND.replace("review = 2026-12-24\n", ""),
    "a review that is no day": SOUND.replace("2026-12-24", '"soon"'),
    "a rate that is no interval": SOUND + "rate = 0.5\n",
    "a rate upside down": SOUND + "rate = [0.5, 0.1]\n",
    "a rate without width": SOUND + "rate = [0.5, 0.5]\n",
    "a rate below 0": SOUND + "rate = [-0.1, 0.5]\n",
    "a rate above 1": SOUND + "rate = [0.1, 1.5]\n",
    "a rate of three": SOUND + "rate = [0.1, 0.2, 0.3]\n",
    "a rate that is no number": SOUND + "rate = [nan, 0.5]\n",
    "a signature that is no expression": SOUND.replace(r"[+-]", "["),
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_an_error_that_names_it(folder: Path, text: str) -> None:
    path = declare(folder, text)
    with pytest.raises(UsageError) as raised:
        declared()
    assert str(raised.value).startswith(f"{path} is no file of expectations: ")
    assert raised.value.exit_code == 2


def test_a_file_that_is_no_utf8_is_an_error_that_names_it(folder: Path) -> None:
    (folder / "a.toml").write_bytes(SOUND.replace("layer", "\xe4").encode("latin-1"))
    with pytest.raises(UsageError, match=r"a\.toml is no file of expectations: "):
        declared()


# ---- what is declared in here


def every_cell() -> tuple[Cell, ...]:
    stacks, runtimes = definition.available(), list(RUNTIMES)
    return tuple(dict.fromkeys((*matrix.plan(stacks, runtimes), *matrix.plan(stacks, runtimes, interop=True))))


def every_image() -> list[ImagePath]:
    """Ways of checkpoint images, with each state of the base image."""
    ways = [path for stack in definition.available() for path in planned(stack)]
    return [path.model_copy(update={"base": state}) for path in ways for state in Base]


def test_what_is_declared_in_here_speaks_of_cells_that_can_be_planned() -> None:
    cells: tuple[Named, ...] = (*every_cell(), *every_image())
    unused = []
    for each in declared():
        alone = [each.model_copy(update={"cells": (pattern,)}) for pattern in each.cells]
        unused += [one.cells for one in alone if not any(one.covers(cell) for cell in cells)]
    assert unused == []


def test_of_no_cell_two_things_are_declared() -> None:
    every: tuple[Named, ...] = (*every_cell(), *every_image())
    counts = {each.id: sum(one.covers(each) for one in declared()) for each in every}
    assert {cell: count for cell, count in counts.items() if count > 1} == {}


def test_what_is_declared_in_here_is_wrong_or_at_times() -> None:
    for each in declared():
        assert each.outcome is not Outcome.CONSISTENT or each.besides
        assert not each.control, "a known issue is no proof that the instrument sees"
        assert each.anomaly is None or each.outcome is Outcome.INCONSISTENT
