"""Versions that restore each other's checkpoints, from the records of interoperability runs alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import Field

from harness.model.machine import Component
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from reports.runs.shards import gather


class Edge(Frozen):
    """The trials of one cross-restore."""

    checkpoint: str
    restore: str
    consistent: int = Field(description="number of trials")
    refused: int
    other: int = Field(description="trials with another outcome")

    @property
    def holds(self) -> bool:
        """Whether every trial was consistent."""
        return not (self.refused or self.other)


class Class(Frozen):
    """Versions that all restore each other's checkpoints."""

    name: str
    members: tuple[str, ...]
    restores: tuple[str, ...] = Field(description="other classes whose checkpoints every member restores, by name")


class Fingerprint(Frozen):
    """Classes of compatible versions."""

    classes: tuple[Class, ...]
    edges: tuple[Edge, ...]


def fingerprint(runs: Iterable[Path]) -> Fingerprint:
    """Read runs from folders in any order; `RecordError` for a folder without a run."""
    trials: dict[tuple[str, str], list[Outcome]] = {}
    for stored in gather(runs):
        for _, record in stored.records():
            cell = record.cell
            silent = record.verdict.outcome.violates is None and record.verdict.outcome is not Outcome.REFUSED
            asked = record.control is None and cell.scenario.as_it_is and stored.vouches_for(record)
            if silent or not asked or not record.components:
                continue
            sides = (("checkpoint", cell.checkpoint), ("restore", cell.restore))
            one, other = (_named(who.runtime, cell.way, record.components.get(side, ())) for side, who in sides)
            trials.setdefault((one, other), []).append(record.verdict.outcome)
    return grouped(_edge(*pair, outcomes) for pair, outcomes in sorted(trials.items()))


def grouped(edges: Iterable[Edge]) -> Fingerprint:
    """Group the versions that restore each other's checkpoints; leave out versions without a cross-restore."""
    edges = tuple(edges)
    crossed = {name for each in edges if each.checkpoint != each.restore for name in (each.checkpoint, each.restore)}
    edges = tuple(each for each in edges if {each.checkpoint, each.restore} <= crossed)
    holds = {(each.checkpoint, each.restore) for each in edges if each.holds}
    groups: list[list[str]] = []
    for name in sorted(crossed):
        fitting = (group for group in groups if all({(name, each), (each, name)} <= holds for each in group))
        group = next(fitting, None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    names = {tuple(group): f"class {number}" for number, group in enumerate(groups, 1)}
    return Fingerprint(
        classes=tuple(
            Class(name=name, members=group, restores=tuple(_restored(group, names, holds)))
            for group, name in names.items()
        ),
        edges=edges,
    )


def as_json(found: Fingerprint) -> str:
    """Write the fingerprint for programs."""
    return json.dumps(found.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"


def _named(runtime: str, way: str, components: Sequence[Component]) -> str:
    """Name a participant by its versions, not by its stack."""
    listed = ", ".join(map(str, components))
    return f"{runtime}{f' {way}' if way else ''}: {listed}"


def _edge(checkpoint: str, restore: str, outcomes: Sequence[Outcome]) -> Edge:
    consistent, refused = outcomes.count(Outcome.CONSISTENT), outcomes.count(Outcome.REFUSED)
    return Edge(
        checkpoint=checkpoint,
        restore=restore,
        consistent=consistent,
        refused=refused,
        other=len(outcomes) - consistent - refused,
    )


def _restored(group: Sequence[str], names: dict[tuple[str, ...], str], holds: set[tuple[str, str]]) -> Iterator[str]:
    for other, name in names.items():
        if set(other).isdisjoint(group) and all((each, member) in holds for each in other for member in group):
            yield name
