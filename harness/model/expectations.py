"""The expected outcome of each cell, with the reason when it is not `consistent`.

`harness.run.matrix` derives what follows from the freeze policy and from a runtime's documentation. Known issues are
declared in `scenarios/expectations/*.toml`, each with a link, a reason and a date for the next review.
A declaration is strict. A cell that is better than declared is as unexpected as a cell that is worse. An overdue
declaration is red until it is reviewed, and a declaration that matches no cell is red. A declaration that accepts
every result is an error. A declaration that depends on the machine says so with `when`. A crash that strikes any cell
of a component's version now and then is declared once, as a `Crash`.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import functools
import re
from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Protocol

from pydantic import Field, field_validator, model_validator

from harness.model.cells import FreezePolicy, Scenario
from harness.model.invalid import fault, read_toml, regular_expression
from harness.model.known.crashes import Crash
from harness.model.known.differences import KnownDifference
from harness.model.known.signatures import LINK, NOT, SPELLED, covers, interval, matches, selective
from harness.model.machine import Condition
from harness.model.outcomes import Anomaly, Outcome
from harness.model.values import Frozen

ENTRY, CRASH, DIFFERENCE = "[[expectation]]", "[[crash]]", "[[difference]]"
"""First lines of declarations."""
CONVICTING = frozenset(outcome for outcome in Outcome if outcome.violates)
"""Outcomes that convict a cell."""
SILENT = frozenset({Outcome.HARNESS_ERROR, Outcome.MISSING})
"""Outcomes that say nothing about a cell."""
NAMING = re.compile(r"^[^\[]*(?:[^\[*?r]@|@[^\[*?s])[^\[]*$")
"""A pattern with a letter beside its @ that no `stranger@stranger` has: hundreds of ids need not be tried."""


class Named(Protocol):
    """What an expectation is about: a cell, or the path of a checkpoint image."""

    @property
    def id(self) -> str:
        """The name that the patterns of a declaration match."""


class Shown(Frozen):
    """What a known issue does to a cell."""

    when: Condition | None = Field(default=None, description="condition of the machines that show it; null: all do")
    outcome: Outcome
    anomaly: Anomaly | None = None
    signature: str = Field(default="", description="regular expression that the reason or the log must match")
    besides: tuple[Outcome, ...] = Field(default=(), description="other outcomes that a trial may have instead")
    rate: tuple[float, float] | None = Field(
        default=None,
        description=(
            "low and high, 0 <= low < high <= 1: share of the trials that show it; the other trials are clean"
        ),
    )
    reason: str = Field(description="why the cell has this outcome, as a sentence")

    _pattern = field_validator("signature")(regular_expression)
    _interval = field_validator("rate")(interval)

    def applies(self, conditions: Collection[Condition]) -> bool:
        """Return whether a machine with these `conditions` shows it."""
        return self.when is None or self.when in conditions

    def signed(self, *lines: str) -> bool:
        """Return whether the signature matches one of `lines`."""
        return not self.signature or matches(self.signature, lines)


class Expectation(Shown):
    """The outcome that every trial of a cell should have, or some of the trials if there is a rate."""

    link: str = Field(default="", description="upstream discussion")
    owner: str = Field(default="", description="who has to act: a project, or the maintainer of the declaration")
    fix: str = Field(default="", description="what ends it: a version, a change or a setting; empty: not known")
    added: dt.date | None = Field(default=None, description="day of the declaration")
    review: dt.date | None = Field(default=None, description="day of the next review; later the declaration is overdue")
    overdue: bool = Field(default=False, description="the day of review is past, so any result is red")
    declared: str = Field(default="", description="file and lines of the declaration")
    control: bool = Field(
        default=False, description="true for a positive control: any other outcome means that the instrument is blind"
    )


class About(StrEnum):
    """What the declarations of a file are about."""

    CELLS = "cells"
    IMAGES = "images"


class Declaration(Shown):
    """A known issue, as declared in a file."""

    model_config = SPELLED

    match: tuple[str, ...] = Field(
        min_length=1,
        description="ids or shell patterns of ids; each pattern names a participant; one that begins with ! excludes",
    )
    link: str = Field(pattern=LINK, description="upstream discussion or documentation")
    owner: str = Field(min_length=1, description="who has to act: a project, or the maintainer of this entry")
    fix: str = Field(default="", description="what ends it: a version, a change or a setting; empty: not known")
    added: dt.date
    review_by: dt.date = Field(description="day of the next review")
    evidence: tuple[str, ...] = Field(default=(), description="ids of runs in a history whose logs must be kept")

    _signature = field_validator("signature")(selective)

    @model_validator(mode="after")
    def _selective(self) -> Declaration:
        """Raise `ValueError` for a declaration that accepts every result."""
        accepted = {self.outcome, *self.besides}
        if self.rate == (0, 1):
            remedy = "Narrow it, or leave it out and say with `when` on which machines it shows"
            raise fault(f"[0, 1] accepts every result. {remedy}", "rate")
        if accepted >= CONVICTING:
            raise fault("with outcome it names every possible failure. Name only what was seen", "besides")
        if silent := accepted & SILENT:
            where = "outcome" if self.outcome in silent else "besides"
            raise fault(f"{' and '.join(sorted(silent))} says nothing about a cell. Name what was seen", where)
        if self.outcome in self.besides:
            raise fault(f"repeats the outcome {self.outcome}, which disables the signature. Remove it here", "besides")
        return self

    def covers(self, named: Named) -> bool:
        """Return whether the declaration matches a cell or an image."""
        return covers(self.match, named.id)

    def expectation(self, declared: str = "", *, overdue: bool = False) -> Expectation:
        """Return the expectation for a matching cell; `declared`: file and lines of the declaration."""
        said = self.model_dump(exclude={"match", "review_by", "evidence"})
        return Expectation.model_validate({**said, "review": self.review_by, "declared": declared, "overdue": overdue})


class DeclarationFile(Frozen):
    """The content of a file of declarations."""

    about: About = About.CELLS
    expectation: tuple[Declaration, ...] = ()
    crash: tuple[Crash, ...] = ()
    difference: tuple[KnownDifference, ...] = ()

    @model_validator(mode="after")
    def _narrow(self) -> DeclarationFile:
        """Raise `ValueError` for a pattern that matches unknown participants."""
        strangers = _strange_images if self.about is About.IMAGES else _strange_cells
        listed = {
            "expectation": [each.match for each in self.expectation],
            "difference": [each.match for each in self.difference],
        }
        for kind, matches_of in listed.items():
            for number, match in enumerate(matches_of):
                for pattern in (one for one in match if one[:1] != NOT):
                    if any(fnmatch.fnmatchcase(stranger, pattern) for stranger in strangers(pattern)):
                        what = f"{pattern!r} covers participants that do not exist yet. Name the participants"
                        raise fault(what, kind, number, "match")
        return self


class Declared(Frozen):
    """A declaration, and its place in the project."""

    about: About
    declaration: Declaration
    where: str = Field(description="file relative to the project's folder, and first and last line: `FILE:3-17`")


# Constructed without validation: building the validator would take a tenth of the time of `stillframe plan`.
STILL = Expectation.model_construct(
    outcome=Outcome.CONSISTENT, reason="memory and disk are captured while the container is held still"
)
MOVING = Expectation.model_construct(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.DISK_AHEAD,
    reason="nothing holds the container still between the dump and the capture, so the disk must run ahead",
    control=True,
)
ONE_AFTER_ANOTHER = Expectation.model_construct(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.CONTAINERS_DISAGREE,
    reason="the containers are checkpointed one after the other, and nothing holds them still together",
    control=True,
)
AT_ONCE = Expectation.model_construct(
    outcome=Outcome.CONSISTENT,
    reason="the containers wait for each other, so two freezes that overlap hold both still",
)
OUTSIDE = Expectation.model_construct(
    outcome=Outcome.NOT_CAPTURED, reason="this runtime documents that its checkpoints leave out a surface"
)


def folder() -> Path:
    """Return the folder with the declarations."""
    return Path(__file__).resolve().parents[2] / "scenarios" / "expectations"


@functools.cache
def declared() -> tuple[Declared, ...]:
    """Read all declarations; `WrongFile` for one that is wrong."""
    return tuple(
        Declared(about=file.about, declaration=each, where=where)
        for path, file in _files()
        for each, where in zip(file.expectation, _places(path, ENTRY), strict=True)
    )


def crashes(today: dt.date) -> tuple[Crash, ...]:
    """Read the known crashes, which are overdue after their day of review; `WrongFile` for a declaration that is wrong.

    An overdue one still explains what it signs, and is red.
    """
    return tuple(
        each.model_copy(update={"declared": where, "overdue": each.review_by < today})
        for path, file in _files()
        for each, where in zip(file.crash, _places(path, CRASH), strict=True)
    )


def differences(today: dt.date) -> tuple[KnownDifference, ...]:
    """Read the known differences, which are overdue after their day of review; `WrongFile` as for `crashes`."""
    return tuple(
        each.model_copy(update={"declared": where, "overdue": each.review_by < today})
        for path, file in _files()
        for each, where in zip(file.difference, _places(path, DIFFERENCE), strict=True)
    )


def _files() -> tuple[tuple[Path, DeclarationFile], ...]:
    return tuple((path, read_toml(DeclarationFile, path)) for path in sorted(folder().glob("*.toml")))


def known(
    named: Named,
    today: dt.date,
    otherwise: Expectation = STILL,
    about: About = About.CELLS,
    *,
    conditions: Collection[Condition] = (),
) -> Expectation:
    """Return what is declared for a cell or an image, or else `otherwise`; overdue after its day of review.

    `conditions`: the conditions that are true of the machine, by default none.
    """
    for each in declared():
        if each.about is about and each.declaration.covers(named) and each.declaration.applies(conditions):
            return each.declaration.expectation(each.where, overdue=each.declaration.review_by < today)
    return otherwise


def covered(every: Iterable[Named], about: About = About.CELLS) -> dict[str, int]:
    """Return the number of matches in `every`, by the declaration's place, for each declaration that has a match."""
    named = list(every)
    counts = {
        each.where: sum(each.declaration.covers(one) for one in named) for each in declared() if each.about is about
    }
    return {where: count for where, count in counts.items() if count}


def unmatched(every: Iterable[Named], about: About = About.CELLS) -> tuple[str, ...]:
    """Return the patterns that match none of `every`, each with its place: `FILE:3-17: PATTERN`."""
    ids = [named.id for named in every]
    listed = [(each.where, each.declaration.match) for each in declared() if each.about is about]
    if about is About.CELLS:
        listed += [(each.declared, each.match) for each in differences(dt.date.min)]
    return tuple(
        f"{where}: {pattern}"
        for where, match in listed
        for pattern in match
        if not fnmatch.filter(ids, pattern.lstrip(NOT))
    )


def place(declared: str) -> str:
    """Return the place of a declaration in words: `lines 3 to 17 of scenarios/expectations/podman.toml`."""
    file, _, lines = declared.rpartition(":")
    first, _, last = lines.partition("-")
    return f"lines {first} to {last} of {file}" if file and last else "its entry"


def _places(path: Path, entry: str) -> Iterator[str]:
    """Yield the place of each declaration that begins with `entry`: `FILE:3-17`, with lines counted from 1."""
    lines, name = path.read_text(encoding="utf-8").splitlines(), "/".join(path.parts[-3:])
    begins = [number for number, line in enumerate(lines) if line.strip() in (ENTRY, CRASH, DIFFERENCE)]
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=False):
        last = max(
            number for number in range(begin, end) if lines[number].strip(" #") and not lines[number].startswith("#")
        )
        if lines[begin].strip() == entry:
            yield f"{name}:{begin + 1}-{last + 1}"


def _strange_cells(pattern: str) -> Iterator[str]:
    """Yield ids of cells like those that a pattern matches, but with an unknown participant."""
    if NAMING.search(pattern):
        return
    asked, _, what = pattern.rpartition(":")
    workloads = ("stranger", what.split(".")[0])
    scenarios = ("", f"{asked}:", *(f"{scenario}:" for scenario in Scenario))
    ways = ("", "+stranger", f"+{what.partition('+')[2]}")
    for workload, scenario, policy, way in product(workloads, scenarios, FreezePolicy, ways):
        for both in ("stranger@stranger", "stranger@stranger~stranger@stranger"):
            yield f"{scenario}{workload}.{policy}.{both}{way}"


def _strange_images(pattern: str) -> Iterator[str]:
    """Yield an id like those that a pattern matches, but with an unknown producer."""
    yield f"stranger.{pattern.partition('.')[2]}"
