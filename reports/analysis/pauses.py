"""How long live checkpoints held their sources still, by the size of memory and of files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from statistics import median

from pydantic import Field

from harness.model.values import Frozen
from harness.records.record import Record

SIZED = re.compile(r"(memory|files)-([1-9][0-9]{0,6})-mib")
"""Names of workloads that say their size, as `ci/bench pause` makes them."""


class Pause(Frozen):
    """The live checkpoints of a participant under one policy, with one size."""

    who: str = Field(description="participant and policy")
    what: str = Field(description="`memory` or `files`: what has the size")
    mebibytes: int
    milliseconds: tuple[float, ...] = Field(description="longest time between two ticks of the source, by trial")

    @property
    def typical(self) -> float:
        """The median in milliseconds."""
        return median(self.milliseconds)


def pauses_of(records: Iterable[Record]) -> tuple[Pause, ...]:
    """Collect the pauses of trials whose workloads say their size, by participant, policy and size."""
    found: dict[tuple[str, str, int], list[float]] = {}
    for record in records:
        sized, gap = SIZED.fullmatch(record.cell.workload), record.source.longest_gap_us
        if sized and gap is not None and record.control is None:
            who = f"{record.cell.checkpoint} ({record.cell.policy})"
            found.setdefault((who, sized[1], int(sized[2])), []).append(gap / 1000)
    order = sorted(found, key=lambda each: (each[0], each[1] != "memory", each[2]))
    return tuple(
        Pause(who=who, what=what, mebibytes=size, milliseconds=tuple(sorted(found[who, what, size])))
        for who, what, size in order
    )
