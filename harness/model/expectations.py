"""The expected outcome of each cell, with the reason when it is not `consistent`.

`harness.run.matrix` derives what follows from the freeze policy and from a runtime's documentation. Known issues are
declared in `scenarios/expectations/*.toml`, each with a link, a reason and a date for the next review.
A declaration is strict. A cell that is better than declared is as unexpected as a cell that is worse. An overdue
declaration is red until it is reviewed, and a declaration that matches no cell is red. A declaration that accepts
every result is an error. A declaration that depends on the machine says so with `when`.
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

from pydantic import ConfigDict, Field, field_validator, model_validator

from harness.model.cells import FreezePolicy, Scenario
from harness.model.invalid import fault, read_toml
from harness.model.machine import Condition
from harness.model.outcomes import Anomaly, Outcome
from harness.model.values import Frozen

ENTRY = "[[expectation]]"
"""First line of a declaration."""
CONVICTING = frozenset(outcome for outcome in Outcome if outcome.violates)
"""Outcomes that convict a cell."""
SILENT = frozenset({Outcome.HARNESS_ERROR, Outcome.MISSING})
"""Outcomes that say nothing about a cell."""
MEANINGLESS = ("", "zq")
"""Lines without meaning: a signature that matches one of them matches almost any line."""

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

    @field_validator("signature")
    @classmethod
    def _pattern(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise fault(f"{text!r} is not a regular expression: {error}. Correct it") from error
        return text

    @field_validator("rate")
    @classmethod
    def _interval(cls, rate: tuple[float, float] | None) -> tuple[float, float] | None:
        if rate is not None and not 0 <= rate[0] < rate[1] <= 1:
            raise fault(f"[{rate[0]:g}, {rate[1]:g}] is not an interval. Write [low, high] with 0 <= low < high <= 1")
        return rate

    def applies(self, conditions: Collection[Condition]) -> bool:
        """Return whether a machine with these `conditions` shows it."""
        return self.when is None or self.when in conditions

    def signed(self, *lines: str) -> bool:
        """Return whether the signature matches one of `lines`."""
        return not self.signature or any(re.search(self.signature, line) for line in lines)


class Expectation(Shown):
    """The outcome that every trial of a cell should have, or some of the trials if there is a rate."""

    link: str = Field(default="", description="upstream discussion")
    owner: str = Field(default="", description="who has to act: a project, or the maintainer of the declaration")
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

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True)

    match: tuple[str, ...] = Field(
        min_length=1, description="ids or shell patterns of ids; each pattern names a participant"
    )
    link: str = Field(pattern=r"^https://[^/\s]+/\S+$", description="upstream discussion or documentation")
    owner: str = Field(min_length=1, description="who has to act: a project, or the maintainer of this entry")
    added: dt.date
    review_by: dt.date = Field(description="day of the next review")
    evidence: tuple[str, ...] = Field(default=(), description="ids of runs in a history whose logs must be kept")

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
        if self.signature and any(re.search(self.signature, line) for line in MEANINGLESS):
            raise fault(f"{self.signature!r} matches any line. Quote what only this failure says", "signature")
        return self

    def covers(self, named: Named) -> bool:
        """Return whether the declaration matches a cell or an image."""
        return any(fnmatch.fnmatchcase(named.id, pattern) for pattern in self.match)

    def expectation(self, declared: str = "", *, overdue: bool = False) -> Expectation:
        """Return the expectation for a matching cell; `declared`: file and lines of the declaration."""
        said = self.model_dump(exclude={"match", "review_by", "evidence"})
        return Expectation.model_validate({**said, "review": self.review_by, "declared": declared, "overdue": overdue})


class DeclarationFile(Frozen):
    """The content of a file of declarations."""

    about: About = About.CELLS
    expectation: tuple[Declaration, ...] = ()

    @model_validator(mode="after")
    def _narrow(self) -> DeclarationFile:
        """Raise `ValueError` for a pattern that matches unknown participants."""
        strangers = _strange_images if self.about is About.IMAGES else _strange_cells
        for number, each in enumerate(self.expectation):
            for pattern in each.match:
                if any(fnmatch.fnmatchcase(stranger, pattern) for stranger in strangers(pattern)):
                    what = f"{pattern!r} covers participants that do not exist yet. Name the participants"
                    raise fault(what, "expectation", number, "match")
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
OUTSIDE = Expectation.model_construct(
    outcome=Outcome.NOT_CAPTURED, reason="this runtime documents that its checkpoints leave out a surface"
)


def folder() -> Path:
    """Return the folder with the declarations."""
    return Path(__file__).resolve().parents[2] / "scenarios" / "expectations"


@functools.cache
def declared() -> tuple[Declared, ...]:
    """Read all declarations; `WrongFile` for one that is wrong."""
    found: list[Declared] = []
    for path in sorted(folder().glob("*.toml")):
        file = read_toml(DeclarationFile, path)
        places = _places(path.read_text(encoding="utf-8").splitlines())
        name = "/".join(path.parts[-3:])
        found += [
            Declared(about=file.about, declaration=each, where=f"{name}:{first}-{last}")
            for each, (first, last) in zip(file.expectation, places, strict=True)
        ]
    return tuple(found)


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
    return tuple(
        f"{each.where}: {pattern}"
        for each in declared()
        if each.about is about
        for pattern in each.declaration.match
        if not fnmatch.filter(ids, pattern)
    )


def _places(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the first and last line of each declaration, counted from 1."""
    begins = [number for number, line in enumerate(lines) if line.strip() == ENTRY]
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=False):
        last = max(
            number for number in range(begin, end) if lines[number].strip(" #") and not lines[number].startswith("#")
        )
        yield begin + 1, last + 1


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
