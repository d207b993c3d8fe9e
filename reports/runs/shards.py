"""A run that may lie in several folders: its shards, found, held together and read as one.

In whatever order folders are named or found, and in however many its records lie, what is read is the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from harness.model.controls import CANARY
from harness.model.errors import RecordError
from harness.model.shard import Shard
from harness.records.documents import readable
from harness.records.image_path import ImagePath
from harness.records.plan import Closing, Plan
from harness.records.record import Record
from harness.records.run_files import Place, often_repeated, read_briefly, read_closing, read_images, read_plan

DEEPEST = 3
"""Folders below the one that is named, in which runs are found."""

ITS_OWN = frozenset({"run", "created_ns", "host", "shard"})
"""Fields of a plan that are not the same on every machine."""

FOLLOWS = frozenset({"rule", "words", "fewer"})
"""Fields of a plan that are other where something else is."""

REMEDY = "Put the shards of each run into a folder of its own, and name that."


class Part(NamedTuple):
    """What one machine did: all of a run, or a shard of it."""

    folder: Path
    plan: Plan
    closing: Closing | None

    @property
    def order(self) -> tuple[int, int, str, str]:
        """By age, and then by whatever tells it from others."""
        number = self.plan.shard.number if self.plan.shard else 0
        return self.plan.created_ns, number, self.plan.run, self.plan.host.model_dump_json()


@dataclass(frozen=True)
class StoredRun:
    """A run on disk, in one folder or in several."""

    folder: Path
    """Where a report of it goes: its own folder, or the one that holds its shards."""
    parts: tuple[Part, ...]
    """Oldest first."""

    @cached_property
    def plan(self) -> Plan:
        """What all parts together set out to do, under the name and on the machine of the oldest."""
        first = self.parts[0].plan
        if first.shard is None:
            return first
        run = first.run if len(self.runs) == 1 else first.run.removesuffix(first.shard.suffix)
        return first.model_copy(update={"run": run, "shard": None})

    @cached_property
    def runs(self) -> frozenset[str]:
        """The names under which its records go."""
        return frozenset(part.plan.run for part in self.parts)

    def records(self) -> Iterator[tuple[Place, Record]]:
        """Read all records briefly, in any order; what was copied comes once, but each part may have its own canary."""
        repeated, seen = often_repeated(), set[bytes]()
        for part in self.parts:
            for place, record in read_briefly(part.folder, repeated):
                if place.digest not in seen or record.control == CANARY.name:
                    seen.add(place.digest)
                    yield place, record

    def vouches_for(self, record: Record) -> bool:
        """Whether a trial counts as evidence: it is of this run, or it is evidence against its cell, whoever has it."""
        return record.run in self.runs or bool(record.verdict.outcome.violates)

    @cached_property
    def closing(self) -> Closing | None:
        """The last words of all parts that came to their end, as one."""
        last = [part.closing for part in self.parts if part.closing]
        leaks = tuple(sorted({leak for each in last for leak in each.leaks}))
        if not last:
            return None
        end = max(each.end_ns for each in last)
        return last[0].model_copy(update={"run": self.plan.run, "end_ns": end, "leaks": leaks})

    @cached_property
    def images(self) -> tuple[ImagePath, ...]:
        """What became of checkpoint images, each once."""
        found = (path for part in self.parts for path in read_images(part.folder))
        return tuple({path.model_dump_json(): path for path in found}.values())

    @property
    def shards(self) -> dict[Shard, list[Part]]:
        """All shards of the run, each with its parts: none where it did not come back, several after a rerun."""
        first = self.parts[0].plan.shard
        every = [Shard(number=number, of=first.of) for number in range(1, first.of + 1)] if first else []
        return {shard: [part for part in self.parts if part.plan.shard == shard] for shard in every}


def gather(folders: Iterable[Path]) -> tuple[StoredRun, ...]:
    """Find the runs in folders, each of which holds one; shards of one run may also be named one by one.

    Raises `RecordError` where there is no run, and where what lies together does not belong together.
    """
    runs: list[StoredRun] = []
    alone: list[Part] = []
    for folder in {each.resolve(): each for each in folders}.values():
        parts = [Part(each, read_plan(each), read_closing(each)) for each in list(_below(folder, DEEPEST)) or [folder]]
        if parts[0].folder == folder and parts[0].plan.shard:
            alone += parts
        else:
            runs.append(_together(folder, parts))
    if alone:
        whole = [run.parts[0] for run in runs if not (run.parts[0].plan.shard or _unlike(run.plan, alone[0].plan))]
        shared = os.path.commonpath([part.folder.resolve() for part in alone])
        runs.append(_together(Path(shared), [*alone, *whole]))
    return tuple(runs)


def find(folder: Path) -> StoredRun:
    """Find the one run in a folder."""
    (run,) = gather([folder])
    return run


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Folders of runs: this one, or else those in it."""
    if (folder / "plan.json").exists():
        yield folder
    elif depth and folder.is_dir():
        with readable(folder):
            found = sorted(each for each in folder.iterdir() if each.is_dir() and not each.is_symlink())
        for each in found:
            yield from _below(each, depth - 1)


def _together(folder: Path, parts: Iterable[Part]) -> StoredRun:
    """Hold parts together; `RecordError` where they are not of one run."""
    parts = tuple(sorted(parts, key=lambda part: part.order))
    first, *others = parts
    whole = [part for part in parts if part.plan.shard is None]
    if others and len(whole) == len(parts):
        what = f"{folder} holds {len(parts)} runs that are not shards of one: {first.folder}, {others[0].folder}, ..."
        raise RecordError(what, remedy="Name one of them.")
    if others and whole:
        shard = next(part for part in parts if part.plan.shard)
        raise RecordError(f"{whole[0].folder} is an undivided run, among shards like {shard.folder}", remedy=REMEDY)
    for other in others:
        if unlike := (*_unlike(first.plan, other.plan), *_divided(first.plan, other.plan)):
            what = f"{first.folder} and {other.folder} are shards of different plans: {', '.join(unlike)}"
            raise RecordError(what, remedy=REMEDY)
    return StoredRun(folder, parts)


def _unlike(one: Plan, other: Plan) -> tuple[str, ...]:
    """What is not the same in two plans, and is in those of one run; with its values where they are short."""
    one, other = map(_undated, (one, other))
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in Plan.model_fields if name not in ITS_OWN}
    unlike = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    telling = {name: pair for name, pair in unlike.items() if name not in FOLLOWS} or unlike
    return tuple(
        f"{name} {pair[0]} and {pair[1]}" if isinstance(pair[0], int | float | str | None) else name
        for name, pair in telling.items()
    )


def _undated(plan: Plan) -> Plan:
    """The same without what has become overdue since: machines may begin on both sides of a midnight."""
    undated = {
        field: {cell: each.model_copy(update={"overdue": False}) for cell, each in getattr(plan, field).items()}
        for field in ("expectations", "conditional")
    }
    return plan.model_copy(update=undated)


def _divided(one: Plan, other: Plan) -> Iterator[str]:
    if one.shard and other.shard and one.shard.of != other.shard.of:
        yield f"{one.shard.of} and {other.shard.of} shards"
