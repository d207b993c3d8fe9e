"""Trials of several runs, added up for each cell as long as its conditions and settings are equal.

Runs may be given in any order and more than once. Trials that prove nothing either way are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from harness.model.cells import Cell, Settings
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from reports.analysis.conditions import Conditions
from reports.analysis.statistics import rate_bound, rate_interval
from reports.runs.shards import gather


class Pool(Frozen):
    """The trials of one cell under the same conditions and settings; `k` of `n` violate."""

    cell: Cell
    conditions: Conditions
    digest: str = Field(description="SHA-256 of the conditions")
    settings: Settings
    runs: tuple[str, ...] = Field(description="ids, oldest first")
    since_ns: int = Field(description="time of the oldest run's plan")
    sequential: bool = Field(
        description="one of the runs ends the cell at its first violation, so the rate is probably too high"
    )
    outcomes: dict[Outcome, int] = Field(description="trials by outcome, mildest first")
    n: int
    k: int
    rate_bound: float | None = Field(description="exact upper 95 % bound of the violation rate, when k is 0")
    rate_interval: tuple[float, float] | None = Field(description="exact two-sided 95 % interval, when k is not 0")


@dataclass
class _Evidence:
    runs: dict[tuple[int, str], None] = field(default_factory=dict)
    sequential: bool = False
    trials: dict[tuple[int, str, int, int], Outcome] = field(default_factory=dict)


def pool(run_folders: Iterable[Path]) -> tuple[Pool, ...]:
    """Add up the trials of all runs, ordered by cell and age; `RecordError` for a folder without a run."""
    found: dict[tuple[Cell, Settings, Conditions], _Evidence] = {}
    for stored in gather(run_folders):
        plan = stored.plan
        run = (plan.created_ns, plan.run)
        for _, record in stored.records():
            outcome = record.verdict.outcome
            if record.control is not None or outcome.violates is None or not stored.vouches_for(record):
                continue
            key = (record.cell, plan.settings, Conditions.of(record, plan))
            own = found.setdefault(key, _Evidence())
            own.runs[run] = None
            own.sequential |= plan.ends(record.cell, Outcome.INCONSISTENT)
            trial = (*run, record.trial, record.start_ns)  # a copy of a run has it again
            own.trials[trial] = max(outcome, own.trials.get(trial, outcome), key=lambda each: each.severity)
    pools = (_summed(*key, own) for key, own in found.items())
    return tuple(sorted(pools, key=_order))


def _order(each: Pool) -> tuple[str, int, tuple[str, ...], str, str]:
    return each.cell.id, each.since_ns, each.runs, each.digest, each.settings.model_dump_json()


def _summed(cell: Cell, settings: Settings, conditions: Conditions, own: _Evidence) -> Pool:
    counts = Counter(own.trials.values())
    n, k = len(own.trials), sum(bool(outcome.violates) for outcome in own.trials.values())
    runs = sorted(own.runs)
    return Pool(
        cell=cell,
        conditions=conditions,
        digest=conditions.digest,
        settings=settings,
        runs=tuple(run for _, run in runs),
        since_ns=runs[0][0],
        sequential=own.sequential,
        outcomes={outcome: counts[outcome] for outcome in Outcome if counts[outcome]},
        n=n,
        k=k,
        rate_bound=None if k else rate_bound(0, n),
        rate_interval=rate_interval(k, n) if k else None,
    )


def as_json(pools: Sequence[Pool]) -> str:
    """Write the pools for programs, each with its cell's id."""
    raw = [{"id": each.cell.id, **each.model_dump(mode="json")} for each in pools]
    return json.dumps(raw, indent=1, sort_keys=True) + "\n"
