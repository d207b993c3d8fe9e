"""What each cell is expected to be, and why, when that is not `consistent`.

What follows from the freeze policy and from what a runtime documents is derived in `harness.matrix`. What is known to
be wrong is declared in `scenarios/expectations/*.toml`, each with a link, a reason and a date by which to look again.
A declaration is strict: a cell that turns out better than declared is as unexpected as one that turns out worse.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import functools
import re
import tomllib
from pathlib import Path
from typing import Protocol

from pydantic import Field, field_validator

from harness.errors import UsageError
from harness.model import Anomaly, Frozen, Outcome


class Named(Protocol):
    """What expectations are about: a cell, or a checkpoint image's way."""

    @property
    def id(self) -> str:
        """Its name, by which it is found in a declaration."""


class Expectation(Frozen):
    """The outcome that every trial of a cell should have, or some of them where there is a rate."""

    outcome: Outcome
    anomaly: Anomaly | None = None
    signature: str = Field(default="", description="regular expression that the reason or the log has to match")
    besides: tuple[Outcome, ...] = Field(default=(), description="what trials may come to that do not show it")
    rate: tuple[float, float] | None = Field(
        default=None,
        description="low and high, 0 <= low < high <= 1: in which part of the trials it shows, the others being clean",
    )
    reason: str
    link: str = Field(default="", description="where it is discussed upstream")
    review: dt.date | None = Field(default=None, description="the day after which it does not count any more")
    control: bool = Field(
        default=False, description="a positive control: any other outcome means that the instrument is blind"
    )

    @field_validator("signature")
    @classmethod
    def _pattern(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return text

    @field_validator("rate")
    @classmethod
    def _interval(cls, rate: tuple[float, float] | None) -> tuple[float, float] | None:
        if rate is not None and not 0 <= rate[0] < rate[1] <= 1:
            raise ValueError(f"{rate[0]:g} to {rate[1]:g} is no interval of rates: needed is 0 <= low < high <= 1")
        return rate

    def signed(self, *lines: str) -> bool:
        """Whether one of `lines` carries the signature."""
        return not self.signature or any(re.search(self.signature, line) for line in lines)


class Declaration(Expectation):
    """A known issue, as a file declares it."""

    cells: tuple[str, ...] = Field(min_length=1, description="ids of cells, shell patterns allowed")
    link: str = Field(pattern=r"^https://")
    review: dt.date

    def covers(self, cell: Named) -> bool:
        """Whether it speaks about `cell`."""
        return any(fnmatch.fnmatchcase(cell.id, pattern) for pattern in self.cells)

    def expectation(self) -> Expectation:
        """What it says, without of whom."""
        return Expectation.model_validate(self.model_dump(exclude={"cells"}))


class DeclarationFile(Frozen):
    """What a file holds."""

    expectation: tuple[Declaration, ...] = ()


STILL = Expectation(outcome=Outcome.CONSISTENT, reason="memory and disk are taken while the container is held still")
MOVING = Expectation(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.DISK_AHEAD,
    reason="nobody holds the container still between the dump and the capture, so the disk must run ahead",
    control=True,
)
OUTSIDE = Expectation(
    outcome=Outcome.NOT_CAPTURED, reason="a surface is documented as outside of this runtime's checkpoints"
)


def folder() -> Path:
    """Where the declarations are."""
    return Path(__file__).resolve().parents[1] / "scenarios" / "expectations"


@functools.cache
def declared() -> tuple[Declaration, ...]:
    """Read all declarations; `UsageError` for one that is wrong."""
    found: list[Declaration] = []
    for path in sorted(folder().glob("*.toml")):
        try:
            found += DeclarationFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).expectation
        except ValueError as error:
            raise UsageError(f"{path} is no file of expectations: {error}") from error
    return tuple(found)


def known(cell: Named, today: dt.date, otherwise: Expectation = STILL) -> Expectation:
    """What is declared of `cell`, if anything; past its day of review it is expected to be as it is `otherwise`."""
    declaration = next((each for each in declared() if each.covers(cell)), None)
    if declaration is None:
        return otherwise
    if declaration.review >= today:
        return declaration.expectation()
    reason = f"what was known of it had to be reviewed by {declaration.review}: {declaration.reason}"
    return otherwise.model_copy(update={"reason": reason, "link": declaration.link})
