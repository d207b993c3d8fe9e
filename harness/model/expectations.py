"""What each cell is expected to be, and why, when that is not `consistent`.

What follows from the freeze policy and from what a runtime documents is derived in `harness.run.matrix`. What is known
to be wrong is declared in `scenarios/expectations/*.toml`, each with a link, a reason and a date by which to look
again.
A declaration is strict: a cell that turns out better than declared is as unexpected as one that turns out worse, one
that is overdue is red until somebody has looked, and so is one that speaks of no cell. A declaration that accepts every
result is declined; one that depends on the machine says so with `when`.
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
"""Line at which a declaration begins."""
CONVICTING = frozenset(outcome for outcome in Outcome if outcome.violates)
"""Outcomes that convict a cell."""
SILENT = frozenset({Outcome.HARNESS_ERROR, Outcome.MISSING})
"""Outcomes that say nothing about a cell."""
MEANINGLESS = ("", "zq")
"""Lines without any meaning: a signature that fits one of them fits almost any line."""

NAMING = re.compile(r"^[^\[]*(?:[^\[*?r]@|@[^\[*?s])[^\[]*$")
"""A pattern with a letter beside its @ that no `stranger@stranger` has: hundreds of ids need not be tried."""


class Named(Protocol):
    """What expectations are about: a cell, or a checkpoint image's way."""

    @property
    def id(self) -> str:
        """Its name, by which it is found in a declaration."""


class Shown(Frozen):
    """What shows in a cell."""

    when: Condition | None = Field(default=None, description="true of the machines on which it shows; null: all")
    outcome: Outcome
    anomaly: Anomaly | None = None
    signature: str = Field(default="", description="regular expression that the reason or the log has to match")
    besides: tuple[Outcome, ...] = Field(default=(), description="what trials may come to that do not show it")
    rate: tuple[float, float] | None = Field(
        default=None,
        description="low and high, 0 <= low < high <= 1: in which part of the trials it shows, the others being clean",
    )
    reason: str = Field(description="why it is so, as a sentence for people")

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
        """Whether it shows on a machine of which `conditions` are true."""
        return self.when is None or self.when in conditions

    def signed(self, *lines: str) -> bool:
        """Whether one of `lines` carries the signature."""
        return not self.signature or any(re.search(self.signature, line) for line in lines)


class Expectation(Shown):
    """The outcome that every trial of a cell should have, or some of them where there is a rate."""

    link: str = Field(default="", description="where it is discussed upstream")
    owner: str = Field(default="", description="who has to act: a project, or whoever looks after the declaration")
    added: dt.date | None = Field(default=None, description="when it was declared")
    review: dt.date | None = Field(default=None, description="the day after which it is overdue")
    overdue: bool = Field(default=False, description="nobody has looked again by that day, so whatever it says is red")
    declared: str = Field(default="", description="file and lines of the declaration")
    control: bool = Field(
        default=False, description="a positive control: any other outcome means that the instrument is blind"
    )


class About(StrEnum):
    """What the declarations of a file speak of."""

    CELLS = "cells"
    IMAGES = "images"


class Declaration(Shown):
    """A known issue, as a file declares it."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True)

    match: tuple[str, ...] = Field(min_length=1, description="ids, shell patterns allowed that name a participant")
    link: str = Field(pattern=r"^https://[^/\s]+/\S+$", description="where it is discussed, or documented, upstream")
    owner: str = Field(min_length=1, description="who has to act: a project, or whoever looks after this entry")
    added: dt.date
    review_by: dt.date = Field(description="the day by which to look again")
    evidence: tuple[str, ...] = Field(default=(), description="runs in a history, by id, whose logs are to be kept")

    @model_validator(mode="after")
    def _selective(self) -> Declaration:
        """Decline a declaration that accepts every result."""
        accepted = {self.outcome, *self.besides}
        if self.rate == (0, 1):
            remedy = "Narrow it, or leave it out and say with `when` on which machines it shows"
            raise fault(f"[0, 1] accepts always as well as never. {remedy}", "rate")
        if accepted >= CONVICTING:
            raise fault("with outcome it names all that can go wrong. Name only what was seen", "besides")
        if silent := accepted & SILENT:
            where = "outcome" if self.outcome in silent else "besides"
            raise fault(f"{' and '.join(sorted(silent))} says nothing about a cell. Name what was seen", where)
        if self.outcome in self.besides:
            raise fault(f"names {self.outcome} again, so any signature would do. Leave it out here", "besides")
        if self.signature and any(re.search(self.signature, line) for line in MEANINGLESS):
            raise fault(f"{self.signature!r} fits any line. Quote what only this failure says", "signature")
        return self

    def covers(self, named: Named) -> bool:
        """Whether it speaks about a cell."""
        return any(fnmatch.fnmatchcase(named.id, pattern) for pattern in self.match)

    def expectation(self, declared: str = "", *, overdue: bool = False) -> Expectation:
        """What it says, without of whom; `declared`: where it stands."""
        said = self.model_dump(exclude={"match", "review_by", "evidence"})
        return Expectation.model_validate({**said, "review": self.review_by, "declared": declared, "overdue": overdue})


class DeclarationFile(Frozen):
    """What a file holds."""

    about: About = About.CELLS
    expectation: tuple[Declaration, ...] = ()

    @model_validator(mode="after")
    def _narrow(self) -> DeclarationFile:
        """Decline what speaks of participants that nobody has heard of."""
        strangers = _strange_images if self.about is About.IMAGES else _strange_cells
        for number, each in enumerate(self.expectation):
            for pattern in each.match:
                if fnmatch.filter(strangers(pattern), pattern):
                    what = f"{pattern!r} covers participants that do not exist yet. Name the participants"
                    raise fault(what, "expectation", number, "match")
        return self


class Declared(Frozen):
    """A declaration where it stands."""

    about: About
    declaration: Declaration
    where: str = Field(description="file below the project's folder, and its first and last line: `FILE:3-17`")


# Constructed without validation: building the validator would take a tenth of the time of `stillframe plan`.
STILL = Expectation.model_construct(
    outcome=Outcome.CONSISTENT, reason="memory and disk are taken while the container is held still"
)
MOVING = Expectation.model_construct(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.DISK_AHEAD,
    reason="nobody holds the container still between the dump and the capture, so the disk must run ahead",
    control=True,
)
OUTSIDE = Expectation.model_construct(
    outcome=Outcome.NOT_CAPTURED, reason="a surface is documented as outside of this runtime's checkpoints"
)


def folder() -> Path:
    """Where the declarations are."""
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
    """What is declared of a cell, or else `otherwise`; past its day of review it is overdue.

    `conditions` are those that are true of the machine; by default none is.
    """
    for each in declared():
        if each.about is about and each.declaration.covers(named) and each.declaration.applies(conditions):
            return each.declaration.expectation(each.where, overdue=each.declaration.review_by < today)
    return otherwise


def covered(every: Iterable[Named], about: About = About.CELLS) -> dict[str, int]:
    """Of how many of `every` each declaration speaks, by where it stands; of none is left out."""
    named = list(every)
    counts = {
        each.where: sum(each.declaration.covers(one) for one in named) for each in declared() if each.about is about
    }
    return {where: count for where, count in counts.items() if count}


def unmatched(every: Iterable[Named], about: About = About.CELLS) -> tuple[str, ...]:
    """Where patterns are declared that speak of none of all there are: `FILE:3-17: PATTERN`."""
    ids = [named.id for named in every]
    return tuple(
        f"{each.where}: {pattern}"
        for each in declared()
        if each.about is about
        for pattern in each.declaration.match
        if not fnmatch.filter(ids, pattern)
    )


def _places(lines: list[str]) -> Iterator[tuple[int, int]]:
    """First and last line of each declaration, counted from 1."""
    begins = [number for number, line in enumerate(lines) if line.strip() == ENTRY]
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=False):
        last = max(
            number for number in range(begin, end) if lines[number].strip(" #") and not lines[number].startswith("#")
        )
        yield begin + 1, last + 1


def _strange_cells(pattern: str) -> Iterator[str]:
    """Ids of cells that are like those of a pattern, of a stranger."""
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
    """Ids of images that go the way of a pattern, made by a stranger."""
    yield f"stranger.{pattern.partition('.')[2]}"
