"""The conditions of a trial. Trials are added up only under equal conditions. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from pydantic import Field

from harness.model.machine import Component
from harness.model.values import Frozen
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.cells import CellSummary

K = TypeVar("K")


class Difference(Frozen):
    """A fact that differs before and after; commas join several values, and an empty text means no value."""

    what: str = Field(description="name of a component, or of a fact of the machine")
    side: str = Field(description="`checkpoint`, `restore`, `host`, or `both` if both sides differ in the same way")
    before: str
    after: str

    def __str__(self) -> str:
        side = "" if self.side in ("both", "host") else f" ({self.side})"
        return f"{self.what} {self.before or 'none'} -> {self.after or 'none'}{side}"


class Conditions(Frozen):
    """All component versions of both sides, and the machine facts that may affect a freeze or a checkpoint."""

    checkpoint: tuple[Component, ...] = Field(description="by name and version")
    restore: tuple[Component, ...] = Field(description="by name and version")
    kernel: str
    architecture: str
    cgroups: str
    accommodations: tuple[str, ...] = Field(description="names of the workarounds, which depend on the machine")

    @classmethod
    def of(cls, trial: Record, plan: Plan) -> Conditions:
        """Read the conditions from a trial; a trial without a host has the plan's host."""
        host = trial.host or plan.host
        return cls(
            checkpoint=_ordered(trial.components.get("checkpoint", ())),
            restore=_ordered(trial.components.get("restore", ())),
            kernel=host.kernel,
            architecture=host.architecture,
            cgroups=host.cgroups,
            accommodations=tuple(sorted({each.name for each in trial.accommodations})),
        )

    @classmethod
    def of_cell(cls, cell: CellSummary, plan: Plan) -> set[Conditions]:
        """Read the conditions from all trials of a cell that say something."""
        return {cls.of(trial, plan) for trial in cell.telling}

    @property
    def digest(self) -> str:
        """SHA-256 of all conditions, in hexadecimal."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def differences(before: Iterable[Conditions], after: Iterable[Conditions]) -> tuple[Difference, ...]:
    """List the differences, components first; one entry for both sides if they differ in the same way."""
    found: dict[tuple[str, str, str], str] = {}
    for (side, what), first, second in _unlike(_facts(before), _facts(after)):
        key = (what, first, second)
        found[key] = "both" if key in found else side
    return tuple(
        Difference(what=what, side=side, before=first, after=second) for (what, first, second), side in found.items()
    )


def changes(before: Iterable[Component], after: Iterable[Component]) -> tuple[Difference, ...]:
    """List a participant's components whose versions differ."""
    return tuple(
        Difference(what=what, side="both", before=first, after=second)
        for what, first, second in _unlike(_versions(before), _versions(after))
    )


def _unlike(old: Mapping[K, set[str]], new: Mapping[K, set[str]]) -> Iterator[tuple[K, str, str]]:
    """Yield the keys whose values differ, with the values before and after, joined by commas."""
    for key in dict.fromkeys((*old, *new)):
        first, second = (", ".join(sorted(each.get(key, ()))) for each in (old, new))
        if first != second:
            yield key, first, second


def _versions(components: Iterable[Component]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in components:
        found.setdefault(each.name, set()).add(each.told)
    return found


def _facts(several: Iterable[Conditions]) -> dict[tuple[str, str], set[str]]:
    facts: dict[tuple[str, str], set[str]] = {}
    for each in several:
        for side, components in (("checkpoint", each.checkpoint), ("restore", each.restore)):
            for component in components:
                facts.setdefault((side, component.name), set()).add(component.told)
        for what in ("kernel", "architecture", "cgroups"):
            facts.setdefault(("host", what), set()).add(getattr(each, what))
        facts.setdefault(("host", "accommodations"), set()).update(each.accommodations)
    return facts


def _ordered(components: Iterable[Component]) -> tuple[Component, ...]:
    return tuple(sorted(set(components), key=lambda each: (each.name, each.version)))
