"""A run in one or several folders: its shards are found, merged and read as one run.

The order and the number of the folders do not change the result.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from pathlib import Path

from harness.foreign import files
from harness.model.controls import CANARY
from harness.model.errors import RecordError
from harness.records.documents import readable
from harness.records.image_path import ImagePath
from harness.records.plan import Closing, Plan
from harness.records.record import Record
from harness.records.run_files import Place, holds_plan, often_repeated, read_briefly, read_images
from harness.records.shard import Shard
from reports.runs.parts import Copy, Part, found, without_earlier_copies

DEEPEST = 3
"""Depth of the search for runs below a given folder."""

MOST_FOLDERS = 100_000
"""Maximum number of folders that the search looks into."""

MOST_RECORDS = 1_000_000
"""Maximum number of records of a run; reading that many takes some GiB of memory."""

ITS_OWN = frozenset({"run", "created_ns", "host", "shard"})
"""Fields of a plan that differ from machine to machine."""

FOLLOWS = frozenset({"rule", "words", "fewer"})
"""Fields of a plan that follow from other fields."""

REMEDY = "Put the shards of each run into a separate folder, and give that folder."


@dataclass(frozen=True)
class StoredRun:
    """A run on disk, in one folder or in several."""

    folder: Path
    """Folder for the report: the run's own folder, or the folder with its shards."""
    parts: tuple[Part, ...]
    """Oldest first."""

    @cached_property
    def plan(self) -> Plan:
        """The plan of all parts together, with the name and the host of the oldest part."""
        first = self.parts[0].plan
        if first.shard is None:
            return first
        run = first.run if len(self.runs) == 1 else first.run.removesuffix(first.shard.suffix)
        return first.model_copy(update={"run": run, "shard": None})

    @cached_property
    def runs(self) -> frozenset[str]:
        """The run names in its records."""
        return frozenset(part.plan.run for part in self.parts)

    def records(self) -> Iterator[tuple[Place, Record]]:
        """Read all records briefly, in any order; a copied record comes once, but each part may have its own canary."""
        repeated, seen, number = often_repeated(), set[bytes](), 0
        for part in self.parts:
            for place, record in read_briefly(part.folder, repeated):
                number += 1
                if number > MOST_RECORDS:
                    raise RecordError(f"{self.folder} has more than {MOST_RECORDS:,} records")
                if place.digest not in seen or record.control == CANARY.name:
                    seen.add(place.digest)
                    yield place, record

    def vouches_for(self, record: Record) -> bool:
        """Whether a trial counts as evidence: it belongs to this run, or it violates."""
        return record.run in self.runs or bool(record.verdict.outcome.violates)

    @cached_property
    def closing(self) -> Closing | None:
        """The closings of all finished parts, merged into one."""
        last = [part.closing for part in self.parts if part.closing]
        leaks = tuple(sorted({leak for each in last for leak in each.leaks}))
        if not last:
            return None
        end = max(each.end_ns for each in last)
        interrupted = next((each.interrupted for each in last if each.interrupted), "")
        efforts = [each.effort for each in last if each.effort]
        effort = reduce(add, efforts) if efforts else None
        told = {"run": self.plan.run, "end_ns": end, "leaks": leaks, "interrupted": interrupted, "effort": effort}
        return last[0].model_copy(update=told)

    @cached_property
    def images(self) -> tuple[ImagePath, ...]:
        """The results of checkpoint images, each once."""
        found = (path for part in self.parts for path in read_images(part.folder))
        return tuple({path.model_dump_json(): path for path in found}.values())

    @property
    def copy(self) -> Copy:
        """What it holds, to compare it with a copy of the same run."""
        held = found((record for _, record in self.records()), self.images)
        return Copy(self.folder, self.plan, self.closing is not None, held)

    @property
    def lost(self) -> list[Shard]:
        """The shards that did not come back."""
        return [shard for shard, parts in self.shards.items() if not parts]

    @property
    def killed(self) -> list[Shard]:
        """The shards that came back unfinished."""
        return [shard for shard, parts in self.shards.items() if parts and not any(part.closing for part in parts)]

    @property
    def unfinished(self) -> str:
        """What says that it is not complete, as the end of a sentence; empty if it is."""
        if self.lost:
            return f"lacks {numbered(self.lost)}"
        return "" if self.closing and not self.killed else "did not finish"

    @property
    def shards(self) -> dict[Shard, list[Part]]:
        """All shards of the run, each with its parts: none if it did not come back, several after a rerun."""
        first = self.parts[0].plan.shard
        every = [Shard(number=number, of=first.of) for number in range(1, first.of + 1)] if first else []
        return {shard: [part for part in self.parts if part.plan.shard == shard] for shard in every}


def gather(folders: Iterable[Path]) -> tuple[StoredRun, ...]:
    """Find the runs in folders, one run in each; shards of one run may also be given one by one.

    `RecordError` if there is no run, and if the parts in a folder do not belong together.
    """
    given = {folder: _parts(folder) for folder in {os.path.realpath(each): each for each in folders}.values()}
    latest = without_earlier_copies([part for parts in given.values() for part in parts])
    runs: list[StoredRun] = []
    alone: list[Part] = []
    for folder, parts in given.items():
        own = [part for part in parts if any(part is each for each in latest)]
        if own and own[0].folder == folder and own[0].plan.shard:
            alone += own
        elif own:
            runs.append(_together(folder, own))
    if alone:
        whole = [run.parts[0] for run in runs if not (run.parts[0].plan.shard or _unlike(run.plan, alone[0].plan))]
        shared = os.path.commonpath([part.folder.resolve() for part in alone])
        runs.append(_together(Path(shared), [*alone, *whole]))
    return tuple(runs)


def find(folder: Path) -> StoredRun:
    """Find the one run in a folder."""
    (run,) = gather([folder])
    return run


def numbered(those: Sequence[Shard]) -> str:
    """Name shards: `shard 3/16`, `shards 3, 4 of 16`."""
    numbers = [str(shard.number) for shard in those]
    return f"shard {those[0]}" if len(those) == 1 else f"shards {', '.join(numbers)} of {those[0].of}"


def _parts(folder: Path) -> list[Part]:
    """Read the parts of runs in a folder: its own, or else those of the folders in it."""
    those: list[Path] = []
    ahead, looked = [(folder, DEEPEST)], 0
    while ahead:
        place, deeper = ahead.pop()
        looked += 1
        if looked > MOST_FOLDERS:
            raise RecordError(f"{folder} holds more than {MOST_FOLDERS:,} folders", remedy="Name a run's folder.")
        if holds_plan(place):
            those.append(place)
        elif deeper and place.is_dir():
            with readable(place):
                below = files.entries(Path(os.path.realpath(place)))
            ahead += [(place / each.name, deeper - 1) for each in below[::-1] if each.is_dir(follow_symlinks=False)]
    return [Part.read(each) for each in those or [folder]]


def _together(folder: Path, parts: Iterable[Part]) -> StoredRun:
    """Merge parts into one run; `RecordError` if they belong to different runs."""
    parts = tuple(sorted(parts, key=lambda part: part.order))
    first, *others = parts
    whole = [part for part in parts if part.plan.shard is None]
    if others and len(whole) == len(parts):
        what = f"{folder} has {len(parts)} runs that are not shards of one run: {first.folder}, {others[0].folder}, ..."
        raise RecordError(what, remedy="Give one of them.")
    if others and whole:
        shard = next(part for part in parts if part.plan.shard)
        raise RecordError(f"{whole[0].folder} is a whole run among shards like {shard.folder}", remedy=REMEDY)
    for other in others:
        if unlike := (*_unlike(first.plan, other.plan), *_divided(first.plan, other.plan)):
            what = f"{first.folder} and {other.folder} are shards of different plans: {', '.join(unlike)}"
            raise RecordError(what, remedy=REMEDY)
    return StoredRun(folder, parts)


def _unlike(one: Plan, other: Plan) -> tuple[str, ...]:
    """Return the fields that must be equal in plans of one run and are not, with their values if these are short."""
    one, other = map(_undated, (one, other))
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in Plan.model_fields if name not in ITS_OWN}
    unlike = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    telling = {name: pair for name, pair in unlike.items() if name not in FOLLOWS} or unlike
    return tuple(
        f"{name} {pair[0]} and {pair[1]}" if isinstance(pair[0], int | float | str | None) else name
        for name, pair in telling.items()
    )


def _undated(plan: Plan) -> Plan:
    """Return the plan without overdue marks: machines may start on both sides of a midnight."""
    undated = {
        field: {cell: each.model_copy(update={"overdue": False}) for cell, each in getattr(plan, field).items()}
        for field in ("expectations", "conditional")
    }
    return plan.model_copy(update=undated)


def _divided(one: Plan, other: Plan) -> Iterator[str]:
    if one.shard and other.shard and one.shard.of != other.shard.of:
        yield f"{one.shard.of} and {other.shard.of} shards"
