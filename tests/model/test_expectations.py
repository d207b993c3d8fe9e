"""Known issues are declared in files, strictly and for a limited time."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.images.study import every_image
from harness.model import expectations
from harness.model.cells import Cell, FreezePolicy, Participant, Scenario
from harness.model.errors import UsageError
from harness.model.expectations import MOVING, STILL, About, Declaration, Expectation, declared, known, unmatched
from harness.model.machine import Condition
from harness.model.outcomes import Anomaly, Outcome
from harness.run import matrix

RUNC = Participant(runtime="runc", stack="debian-sid")
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=RUNC, restore=RUNC)
OTHER = CELL.model_copy(update={"workload": "volumes"})
REVIEW = dt.date(2026, 12, 24)
SOUND = """
[[expectation]]
match = ["*.pause.runc@*"]
outcome = "inconsistent"
anomaly = "disk-behind"
signature = 'holds [+-]\\d+ ticks'
reason = "the layer is copied before the dump"
link = "https://example.org/issues/1"
owner = "runc"
added = 2026-06-24
review-by = 2026-12-24
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of declarations for one test."""
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
        "match": ("*",),
        "outcome": "hung",
        "reason": "it hangs",
        "link": "https://example.org/1",
        "owner": "runc",
        "added": REVIEW - dt.timedelta(days=180),
        "review_by": REVIEW,
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
        owner="runc",
        added=dt.date(2026, 6, 24),
        review=REVIEW,
        declared=f"{folder.parent.name}/{folder.name}/a.toml:2-11",
    )


@pytest.mark.parametrize("rate", [(0.0, 0.9), (0.1, 1.0), (0.01, 0.2)])
def test_what_shows_sometimes_has_a_rate(folder: Path, rate: tuple[float, float]) -> None:
    declare(folder, SOUND + f"rate = {list(rate)}\n")
    assert known(CELL, REVIEW).rate == rate


def test_of_other_cells_nothing_is_known(folder: Path) -> None:
    assert known(CELL, REVIEW) is STILL
    declare(folder)
    assert known(CELL.model_copy(update={"policy": FreezePolicy.HOOK}), REVIEW) is STILL


def test_every_file_counts(folder: Path) -> None:
    declare(folder, SOUND.replace("*.pause.", "a.pause."), "b.toml")
    declare(folder, SOUND + SOUND.replace("inconsistent", "hung"), "a.toml")
    declare(folder, "no TOML at all", "README.md")
    assert [each.declaration.outcome for each in declared()] == ["inconsistent", "hung", "inconsistent"]


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
    assert declaration(match=("nothing", pattern)).covers(CELL) is covers


def test_a_scenario_and_a_way_belong_to_the_name() -> None:
    cell = CELL.model_copy(update={"scenario": Scenario.PAUSED, "way": "commit"})
    assert declaration(match=("paused:*+commit",)).covers(cell)
    assert not declaration(match=("ledger.*",)).covers(cell)


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


@pytest.mark.parametrize(("days", "overdue"), [(-400, False), (0, False), (1, True), (400, True)])
def test_a_declaration_is_overdue_after_its_day_of_review(folder: Path, days: int, overdue: bool) -> None:
    declare(folder)
    found = known(CELL, REVIEW + dt.timedelta(days=days))
    assert (found.outcome, found.anomaly, found.overdue) == (Outcome.INCONSISTENT, Anomaly.DISK_BEHIND, overdue)


def test_what_is_expected_otherwise_is_what_nothing_is_declared_of(folder: Path) -> None:
    assert known(CELL, REVIEW, otherwise=MOVING) is MOVING
    declare(folder)
    found = known(CELL, REVIEW, otherwise=MOVING)
    assert (found.anomaly, found.control) == (Anomaly.DISK_BEHIND, False)


# ---- on some machines

WHEN = f'when = "{Condition.LACKS_MEM_DIRTY_TRACK}"\n'


def test_what_depends_on_the_machine_is_expected_where_its_condition_is_true(folder: Path) -> None:
    declare(folder, SOUND + WHEN)
    there = known(CELL, REVIEW, conditions=(Condition.LACKS_MEM_DIRTY_TRACK,))
    assert (there.outcome, there.when) == (Outcome.INCONSISTENT, Condition.LACKS_MEM_DIRTY_TRACK)
    assert known(CELL, REVIEW) is STILL
    assert known(CELL, REVIEW, otherwise=MOVING) is MOVING


def test_elsewhere_the_next_declaration_counts(folder: Path) -> None:
    declare(folder, SOUND + WHEN + SOUND.replace("disk-behind", "disk-ahead"))
    assert known(CELL, REVIEW).anomaly is Anomaly.DISK_AHEAD
    assert known(CELL, REVIEW, conditions=tuple(Condition)).anomaly is Anomaly.DISK_BEHIND


def test_a_condition_changes_nothing_for_what_has_none(folder: Path) -> None:
    declare(folder)
    assert known(CELL, REVIEW, conditions=tuple(Condition)) == known(CELL, REVIEW)


@pytest.mark.parametrize("name", ["kernel lacks colour", "kernel lacks", "mem_dirty_track", ""])
def test_an_unknown_condition_is_declined_with_its_place_and_those_that_are_known(folder: Path, name: str) -> None:
    path = declare(folder, SOUND + SOUND + f'when = "{name}"\n')
    with pytest.raises(UsageError) as raised:
        declared()
    names = " or ".join(map(repr, map(str, Condition)))
    told = f"expectation.when: must be one of {names}, not {name!r}."
    assert str(raised.value).startswith(f"{path}:23: {told}")


# ---- its place


def test_a_declaration_knows_its_lines(folder: Path) -> None:
    declare(
        folder, f"# before\n{SOUND}\n# of the next one\n{SOUND.replace('disk-behind', 'disk-ahead')}\n# last words\n"
    )
    where = [each.where.rpartition(":")[2] for each in declared()]
    assert where == ["3-12", "16-25"]
    lines = (folder / "a.toml").read_text(encoding="utf-8").splitlines()
    for place in where:
        first, last = map(int, place.split("-"))
        assert (lines[first - 1], lines[last - 1]) == ("[[expectation]]", "review-by = 2026-12-24")


def test_what_speaks_of_no_cell_is_named(folder: Path) -> None:
    declare(folder, SOUND.replace('["*.pause.runc@*"]', '["*.pause.runc@*", "volumes.hook.runc@debian-potato"]'))
    (gone,) = unmatched([CELL, OTHER])
    assert gone.endswith("a.toml:2-11: volumes.hook.runc@debian-potato")
    assert len(unmatched([])) == 2
    assert unmatched([], About.IMAGES) == (), "it is not about images"


def test_images_are_spoken_of_in_files_about_images(folder: Path) -> None:
    image = next(every_image())
    text = SOUND.replace("*.pause.runc@*", f"{image.producer}.*@{image.stack}")
    declare(folder, text)
    assert known(image, REVIEW, about=About.IMAGES) is STILL
    declare(folder, f'about = "images"\n{text}')
    assert known(image, REVIEW, about=About.IMAGES).outcome is Outcome.INCONSISTENT
    assert known(CELL, REVIEW) is STILL


# ---- wrong files


BESIDES = [each.value for each in Outcome if each.violates and each is not Outcome.INCONSISTENT]
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
    "all cells": SOUND.replace("*.pause.runc@*", "*"),
    "all live cells": SOUND.replace("*.pause.runc@*", "*.*@*"),
    "all cells of a workload": SOUND.replace("*.pause.runc@*", "ledger.*"),
    "all cells of a policy": SOUND.replace("*.pause.runc@*", "ledger.pause.*@*"),
    "all cells of a scenario": SOUND.replace("*.pause.runc@*", "paused:*"),
    "all pairs": SOUND.replace("*.pause.runc@*", "ledger.pause.*@*~*@*"),
    "all cells of a way": SOUND.replace("*.pause.runc@*", "*+unmasked"),
    "all images": 'about = "images"\n' + SOUND.replace("*.pause.runc@*", "*.registry@*"),
    "no outcome": SOUND.replace('outcome = "inconsistent"\n', ""),
    "no reason": SOUND.replace('reason = "the layer is copied before the dump"\n', ""),
    "no link": SOUND.replace('link = "https://example.org/issues/1"\n', ""),
    "a link that is none": SOUND.replace("https://example.org/issues/1", "issue 1"),
    "a link to be filled in": SOUND.replace("https://example.org/issues/1", ""),
    "a link to nothing but a host": SOUND.replace("https://example.org/issues/1", "https://example.org"),
    "no owner": SOUND.replace('owner = "runc"\n', ""),
    "an owner to be filled in": SOUND.replace('owner = "runc"', 'owner = ""'),
    "not told when": SOUND.replace("added = 2026-06-24\n", ""),
    "no review": SOUND.replace("review-by = 2026-12-24\n", ""),
    "a proof of the instrument": SOUND + "control = true\n",
    "overdue from the start": SOUND + "overdue = true\n",
    "a review that is no day": SOUND.replace("2026-12-24", '"soon"'),
    "a rate that is no interval": SOUND + "rate = 0.5\n",
    "a rate upside down": SOUND + "rate = [0.5, 0.1]\n",
    "a rate without width": SOUND + "rate = [0.5, 0.5]\n",
    "a rate below 0": SOUND + "rate = [-0.1, 0.5]\n",
    "a rate above 1": SOUND + "rate = [0.1, 1.5]\n",
    "a rate that accepts everything": SOUND + "rate = [0, 1]\n",
    "a rate that accepts everything beside everything": SOUND + f"rate = [0.0, 1.0]\nbesides = {BESIDES}\n",
    "every outcome": SOUND + f"besides = {BESIDES}\n",
    "every outcome beside the good one": SOUND.replace("inconsistent", "consistent")
    + f"besides = {[*BESIDES, 'inconsistent']}\n",
    "its own outcome beside it": SOUND + 'besides = ["inconsistent"]\n',
    "a breakdown of our own": SOUND.replace("inconsistent", "harness-error"),
    "a breakdown of our own beside it": SOUND + 'besides = ["harness-error"]\n',
    "what did not come back": SOUND + 'besides = ["missing"]\n',
    "a signature that fits any line": SOUND.replace(r"holds [+-]\d+ ticks", ".*"),
    "a signature that fits any line with something in it": SOUND.replace(r"holds [+-]\d+ ticks", ".+"),
    "a signature that fits any word": SOUND.replace(r"holds [+-]\d+ ticks", r"\w"),
    "a signature that may be nothing": SOUND.replace(r"holds [+-]\d+ ticks", "ticks|"),
    "a signature of what is not there": SOUND.replace(r"holds [+-]\d+ ticks", "^(?!.*ticks)"),
    "an unknown condition": SOUND + 'when = "kernel lacks colour"\n',
    "a rate of three": SOUND + "rate = [0.1, 0.2, 0.3]\n",
    "a rate that is no number": SOUND + "rate = [nan, 0.5]\n",
    "a signature that is no expression": SOUND.replace(r"[+-]", "["),
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_an_error_that_names_it(folder: Path, text: str) -> None:
    path = declare(folder, text)
    with pytest.raises(UsageError) as raised:
        declared()
    assert re.match(rf"{re.escape(str(path))}:\d+: [^\n]+\.", str(raised.value)), "file, line, and a sentence"
    assert "pydantic" not in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            SOUND + "rate = [0.0, 1.0]\n",
            "12: expectation.rate: [0, 1] accepts every result. Narrow it, or leave it out",
        ),
        (
            SOUND.replace(r"holds [+-]\d+ ticks", ".*"),
            "6: expectation.signature: '.*' matches any line. Quote what only this failure says.",
        ),
        (
            SOUND + f"besides = {BESIDES}\n",
            "12: expectation.besides: with outcome it names every possible failure. Name only what was seen.",
        ),
        (SOUND.replace('owner = "runc"\n', ""), "2: expectation.owner: is missing. Add it: who has to act: a project"),
        (
            SOUND + 'besides = ["hung", "harness-error"]\n',
            "12: expectation.besides: harness-error says nothing about a cell. Name what was seen.",
        ),
        (
            SOUND + 'besides = ["inconsistent"]\n',
            "12: expectation.besides: repeats the outcome inconsistent, which disables the signature. Remove it here.",
        ),
        (
            SOUND + 'rate = 0.5\nx = "y"\n',
            "12: expectation.rate: must be a list in brackets, not 0.5.",
        ),
        (SOUND + "[other]\n", "12: other: is not a field here. Fields: about, expectation, crash, difference."),
    ],
)
def test_what_is_wrong_is_told_with_its_lines_and_what_to_do(folder: Path, text: str, told: str) -> None:
    declare(folder, text)
    with pytest.raises(UsageError, match=re.escape(f"a.toml:{told}")):
        declared()


@pytest.mark.parametrize("pattern", ["ledger.pause.*r@*", "*@s*", "*.pause.*[r]@[s]*", "ledger.*.stranger@*"])
def test_a_pattern_that_only_looks_as_if_it_named_a_participant_is_declined(folder: Path, pattern: str) -> None:
    declare(folder, SOUND.replace("*.pause.runc@*", pattern))
    with pytest.raises(UsageError, match="covers participants that do not exist yet"):
        declared()


def test_what_a_plan_of_an_older_program_expects_stays_readable() -> None:
    told = {"outcome": "unsupported", "rate": [0.0, 1.0], "signature": ".*", "reason": "not all kernels can"}
    assert Expectation.model_validate(told).rate == (0, 1)


def test_a_file_that_is_no_utf8_is_an_error_that_names_it(folder: Path) -> None:
    (folder / "a.toml").write_bytes(SOUND.replace("layer", "\xe4").encode("latin-1"))
    with pytest.raises(UsageError, match=r"a\.toml: byte \d+ is not UTF-8\. Save the file as UTF-8\."):
        declared()


# ---- the declarations of this project


def test_what_is_declared_in_here_speaks_of_cells_that_there_are() -> None:
    assert unmatched(matrix.every_cell()) == ()
    assert unmatched(every_image(), About.IMAGES) == ()


def test_what_is_expected_where_nothing_is_declared_is_valid() -> None:
    for each in (STILL, MOVING, expectations.OUTSIDE):
        assert Expectation.model_validate(each.model_dump()) == each


def test_of_no_cell_two_things_are_declared() -> None:
    for about, every in ((About.CELLS, matrix.every_cell()), (About.IMAGES, every_image())):
        said = [each.declaration for each in declared() if each.about is about]
        assert [each.id for each in every if sum(one.covers(each) for one in said) > 1] == []


INCREMENTAL = [each for each in matrix.every_cell() if each.scenario is Scenario.INCREMENTAL]


@pytest.mark.parametrize("cell", INCREMENTAL, ids=lambda cell: cell.id)
def test_dumping_in_rounds_is_unsupported_where_the_kernel_lacks_tracking_and_consistent_elsewhere(cell: Cell) -> None:
    today = dt.date(2026, 12, 1)
    there = matrix.expected(cell, today, conditions=(Condition.LACKS_MEM_DIRTY_TRACK,))
    assert (there.outcome, there.rate, there.besides) == (Outcome.UNSUPPORTED, None, ())
    assert matrix.expected(cell, today) == STILL


def test_what_is_declared_in_here_is_wrong_or_at_times() -> None:
    for each in (one.declaration for one in declared()):
        assert each.outcome is not Outcome.CONSISTENT or each.besides
        assert each.anomaly is None or each.outcome is Outcome.INCONSISTENT
