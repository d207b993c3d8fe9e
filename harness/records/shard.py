"""One machine's share of a run: which cells and controls it executes. Their names alone decide."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from pydantic import Field, model_validator

from harness.model.cells import Cell
from harness.model.controls import Control, ControlKind
from harness.model.errors import UsageError
from harness.model.values import Frozen

MOST_SHARDS = 10_000


class Shard(Frozen):
    """A share of a run: its number, and the number of shares."""

    number: int = Field(ge=1, description="number of the share, from 1 to `of`")
    of: int = Field(ge=1, le=MOST_SHARDS, description="number of shares")

    @model_validator(mode="after")
    def _one_of_them(self) -> Shard:
        if self.number > self.of:
            raise ValueError(f"there is no share {self.number} of {self.of}")
        return self

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read `K/N`; raise `UsageError` for anything else."""
        said = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
        number, of = map(int, said.groups()) if said else (0, 0)
        if not 1 <= number <= of <= MOST_SHARDS:
            remedy = f"Write K/N for share K of N, at most {MOST_SHARDS}, for example 3/16."
            raise UsageError(f"--shard {text!r} is not a share of a run", remedy=remedy)
        return cls(number=number, of=of)

    @property
    def suffix(self) -> str:
        """End of the id of this share's part of the run."""
        return f"-{self.number}-of-{self.of}"

    def holds(self, name: str) -> bool:
        """Return whether `name` belongs to this share: every machine answers the same, whatever else is planned."""
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest) % self.of == self.number - 1

    def cells(self, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        """What of the cells it executes: cells of one question stay together, since their trials are pairs."""
        return tuple(cell for cell in cells if self.holds(cell.question))

    def share(self, cells: Sequence[Cell], controls: Sequence[Control]) -> tuple[tuple[Cell, ...], tuple[Control, ...]]:
        """Return the cells and controls of a plan that this share executes.

        The controls of one participant stay together, since the oracle judges all mutants at once. The canary runs in
        each share that has anything to do: each machine has to prove that it is not blind.
        """
        own = self.cells(cells)
        played = {control for control in controls if _apart(control) and self.holds(str(control.cell.checkpoint))}
        if own or played:
            played.update(control for control in controls if not _apart(control))
        return own, tuple(control for control in controls if control in played)


def _apart(control: Control) -> bool:
    """Return whether one share runs this control for all shares."""
    return control.kind is not ControlKind.CANARY
