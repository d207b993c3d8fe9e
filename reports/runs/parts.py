"""The work of one machine on disk: all of a run, or one shard; and the latest of its copies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.model.errors import RecordError
from harness.records.image_path import ImagePath
from harness.records.plan import Closing, Plan, Tombstone
from harness.records.record import Record
from harness.records.run_files import read_briefly, read_closing, read_images, read_plan

Found = dict[bytes, str]
"""What a copy holds, by digest, with the words that name it."""


def check_same_run(folder: Path, plan: Plan, what: str, found: Closing | Tombstone | None) -> None:
    """Raise `RecordError` for a document that belongs to another run than the plan beside it."""
    if found and found.run != plan.run:
        told = f"the {what} in {folder} is of run {found.run}, but the plan is of {plan.run}"
        raise RecordError(told, remedy="Fetch the folder again.")


class Part(NamedTuple):
    """The work of one machine."""

    folder: Path
    plan: Plan
    closing: Closing | None

    @classmethod
    def read(cls, folder: Path) -> Part:
        """Read plan and closing; `RecordError` for a folder without a run."""
        plan, closing = read_plan(folder), read_closing(folder)
        check_same_run(folder, plan, "closing document", closing)
        return cls(folder, plan, closing)

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Sort key: the age, then other facts that differ between parts."""
        number = self.plan.shard.number if self.plan.shard else 0
        return self.plan.created_ns, number, self.plan.run, self.plan.host.model_dump_json()

    @property
    def origin(self) -> tuple[object, ...]:
        """Equal for copies of the same work."""
        return self.plan.run, self.plan.created_ns, self.plan.shard


class Copy(NamedTuple):
    """A copy of some work, at any stage of it."""

    folder: Path
    plan: Plan
    finished: bool
    found: Found

    def holds(self, other: Copy) -> bool:
        """Return whether this copy is as far as the other one, or further."""
        return self.finished >= other.finished and self.found.keys() >= other.found.keys()


def found(records: Iterable[Record], images: Iterable[ImagePath]) -> Found:
    """Return what a copy holds; the name of the run and the logs do not count, since a history changes them."""
    told = {
        hashlib.sha256(each.model_dump_json(exclude={"run"}).encode()).digest(): f"trial {each.trial} of {each.cell.id}"
        for each in records
    }
    return told | {hashlib.sha256(each.model_dump_json().encode()).digest(): each.id for each in images}


def latest(copies: Sequence[Copy]) -> Copy:
    """Return the copy that continues all the others; `RecordError` if two contradict each other."""
    most = max(copies, key=lambda each: (len(each.found), each.finished))
    for each in copies:
        if each.plan != most.plan or not most.holds(each):
            what = f"{most.folder} and {each.folder} are copies of run {most.plan.run} that contradict each other"
            raise RecordError(f"{what}: {_why(most, each)}", remedy="Leave out the one that is wrong.")
    return most


def _why(most: Copy, other: Copy) -> str:
    if most.plan != other.plan:
        return "their plans differ"
    if lacking := other.found.keys() - most.found.keys():
        return f"{most.folder.name} lacks {min(other.found[each] for each in lacking)} as it is in {other.folder.name}"
    return f"{other.folder.name} finished with fewer trials"


def without_earlier_copies(parts: Sequence[Part]) -> list[Part]:
    """Leave out copies that another copy continues; `RecordError` if two contradict each other."""
    same: dict[tuple[object, ...], list[Part]] = {}
    for each in parts:
        same.setdefault(each.origin, []).append(each)
    return [_latest(those) if len(those) > 1 else those[0] for those in same.values()]


def _latest(parts: Sequence[Part]) -> Part:
    copies = []
    for each in parts:
        records = (record for _, record in read_briefly(each.folder))
        held = found(records, read_images(each.folder))
        copies.append(Copy(each.folder, each.plan, each.closing is not None, held))
    return parts[copies.index(latest(copies))]
