"""Promises of projects, compared with the measurements. The promises are in `claims.toml` beside this file."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import Field

from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from reports.analysis.cells import SILENT, CellSummary
from reports.analysis.tables import RunSummary
from reports.text import counted


class Claim(Frozen):
    """A promise of a project."""

    project: str
    promise: str = Field(description="the promise in our words")
    source: str = Field(pattern=r"^https://")
    cells: tuple[str, ...] = Field(min_length=1, description="ids of cells, shell patterns allowed")
    holds: tuple[Outcome, ...] = Field(min_length=1, description="outcomes of a cell that keep the promise")

    def concerns(self, each: CellSummary) -> bool:
        """Whether the promise is about this cell."""
        return any(fnmatch.fnmatchcase(each.cell.id, pattern) for pattern in self.cells)


class ClaimFile(Frozen):
    """The contents of the file."""

    claim: tuple[Claim, ...]


class Held(Frozen):
    """A promise beside the measurements."""

    claim: Claim
    holding: tuple[str, ...] = Field(description="ids of cells")
    broken: tuple[str, ...] = Field(description="ids of cells")
    silent: tuple[str, ...] = Field(description="ids of cells without a result")

    @property
    def sentence(self) -> str:
        """The measurements in words."""
        tried = len(self.holding) + len(self.broken)
        if not tried:
            return "not tried in this run"
        found = f"holds in {len(self.holding)} of {counted(tried, 'cell')}"
        return f"{found}, {len(self.silent)} without a result" if self.silent else found


@cache
def declared() -> tuple[Claim, ...]:
    """Return all promises."""
    text = Path(__file__).with_name("claims.toml").read_text(encoding="utf-8")
    return ClaimFile.model_validate(tomllib.loads(text)).claim


def held(run: RunSummary) -> Iterator[Held]:
    """Compare each promise with its cells of the run."""
    for claim in declared():
        cells = [each for each in run.cells if claim.concerns(each)]
        told = [each for each in cells if each.outcome not in SILENT]
        yield Held(
            claim=claim,
            holding=tuple(each.cell.id for each in told if each.outcome in claim.holds),
            broken=tuple(each.cell.id for each in told if each.outcome not in claim.holds),
            silent=tuple(each.cell.id for each in cells if each.outcome in SILENT),
        )
