"""One machine's share of a run: which cells and controls it executes, decided by their names alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from pydantic import Field

from harness.model.cells import Cell
from harness.model.controls import Control, ControlKind
from harness.model.errors import UsageError
from harness.model.values import Frozen

MOST_SHARDS = 10_000


class Shard(Frozen):
    """A share: which one, of how many."""

    number: int = Field(ge=1, description="from 1")
    of: int = Field(ge=1)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read `K/N`; `UsageError` for what is none."""
        said = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
        number, of = map(int, said.groups()) if said else (0, 0)
        if not 1 <= number <= of <= MOST_SHARDS:
            remedy = f"Say which one of how many, from 1 to at most {MOST_SHARDS}: 3/16."
            raise UsageError(f"--shard {text!r} is no share of a run", remedy=remedy)
        return cls(number=number, of=of)

    @property
    def suffix(self) -> str:
        """What the id of its part of the run ends with."""
        return f"-{self.number}-of-{self.of}"

    def holds(self, name: str) -> bool:
        """Whether what goes by `name` falls to it: the same on every machine, whatever else is planned."""
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest) % self.of == self.number - 1

    def cells(self, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        """What of the cells it executes: cells of one question stay together, since their trials are pairs."""
        return tuple(cell for cell in cells if self.holds(cell.question))

    def share(self, cells: Sequence[Cell], controls: Sequence[Control]) -> tuple[tuple[Cell, ...], tuple[Control, ...]]:
        """What of a plan it executes.

        The controls of one participant stay together, since the oracle is asked about all mutants at once. The canary
        is played wherever there is anything to do: each machine has to prove that it is not blind.
        """
        own = self.cells(cells)
        played = {control for control in controls if _apart(control) and self.holds(str(control.cell.checkpoint))}
        if own or played:
            played.update(control for control in controls if not _apart(control))
        return own, tuple(control for control in controls if control in played)


def _apart(control: Control) -> bool:
    """Whether one machine plays it for all."""
    return control.kind is not ControlKind.CANARY
