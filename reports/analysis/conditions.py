"""Under which a trial ran: what has to be the same for trials to be added up, and what differs between two. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from pydantic import Field

from harness.model.machine import Component
from harness.model.values import Frozen
from harness.records.plan import Plan
from harness.records.record import Record

K = TypeVar("K")


class Difference(Frozen):
    """A fact that is not the same before and after; several values are joined by commas, none is empty."""

    what: str = Field(description="name of a component, or of a fact of the machine")
    side: str = Field(description="`checkpoint`, `restore`, `host`, or `both` where both sides differ alike")
    before: str
    after: str

    def __str__(self) -> str:
        side = "" if self.side in ("both", "host") else f" ({self.side})"
        return f"{self.what} {self.before or 'none'} -> {self.after or 'none'}{side}"


class Conditions(Frozen):
    """Every component's version on both sides, and what of the machine may matter to a freeze or a checkpoint."""

    checkpoint: tuple[Component, ...] = Field(description="by name and version")
    restore: tuple[Component, ...] = Field(description="by name and version")
    kernel: str
    architecture: str
    cgroups: str
    accommodations: tuple[str, ...] = Field(description="names of the workarounds, which follow from the machine")

    @classmethod
    def of(cls, trial: Record, plan: Plan) -> Conditions:
        """Read them from a trial; of one that recorded no host, that of its plan counts."""
        host = trial.host or plan.host
        return cls(
            checkpoint=_ordered(trial.components.get("checkpoint", ())),
            restore=_ordered(trial.components.get("restore", ())),
            kernel=host.kernel,
            architecture=host.architecture,
            cgroups=host.cgroups,
            accommodations=tuple(sorted({each.name for each in trial.accommodations})),
        )

    @property
    def digest(self) -> str:
        """SHA-256 over all of it, in hexadecimal."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def differences(before: Iterable[Conditions], after: Iterable[Conditions]) -> tuple[Difference, ...]:
    """List what is not the same, components first; both sides together where they differ alike."""
    found: dict[tuple[str, str, str], str] = {}
    for (side, what), first, second in _unlike(_facts(before), _facts(after)):
        key = (what, first, second)
        found[key] = "both" if key in found else side
    return tuple(
        Difference(what=what, side=side, before=first, after=second) for (what, first, second), side in found.items()
    )


def changes(before: Iterable[Component], after: Iterable[Component]) -> tuple[Difference, ...]:
    """List components of a participant whose versions are not the same."""
    return tuple(
        Difference(what=what, side="both", before=first, after=second)
        for what, first, second in _unlike(_versions(before), _versions(after))
    )


def _unlike(old: Mapping[K, set[str]], new: Mapping[K, set[str]]) -> Iterator[tuple[K, str, str]]:
    """What has other values, with those before and after, joined by commas."""
    for key in dict.fromkeys((*old, *new)):
        first, second = (", ".join(sorted(each.get(key, ()))) for each in (old, new))
        if first != second:
            yield key, first, second


def _versions(components: Iterable[Component]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in components:
        found.setdefault(each.name, set()).add(each.version)
    return found


def _facts(several: Iterable[Conditions]) -> dict[tuple[str, str], set[str]]:
    facts: dict[tuple[str, str], set[str]] = {}
    for each in several:
        for side, components in (("checkpoint", each.checkpoint), ("restore", each.restore)):
            for component in components:
                facts.setdefault((side, component.name), set()).add(component.version)
        for what in ("kernel", "architecture", "cgroups"):
            facts.setdefault(("host", what), set()).add(getattr(each, what))
        facts.setdefault(("host", "accommodations"), set()).update(each.accommodations)
    return facts


def _ordered(components: Iterable[Component]) -> tuple[Component, ...]:
    return tuple(sorted(set(components), key=lambda each: (each.name, each.version)))
