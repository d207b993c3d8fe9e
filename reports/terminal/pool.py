"""Pooled trials on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from harness.model.cells import Settings
from reports.analysis.conditions import differences
from reports.runs.pool import Pool
from reports.text import counted, one_line
from reports.words.numbers import interval, percent

SHORT = 12
"""Digits shown of a digest; `--json` has all."""


def rate(each: Pool) -> str:
    """Write the number of violations and the bound or interval of their rate: `0/60 (<4.9 %)`."""
    told = f"<{percent(each.rate_bound)}" if each.rate_bound is not None else interval(*(each.rate_interval or (0, 1)))
    return f"{each.k}/{each.n} ({told})"


def table(pools: Sequence[Pool]) -> Table:
    """Return a row for each pool, with the changes since the cell's earlier pool."""
    pairs = list(zip((None, *pools), pools, strict=False))
    changes = [", ".join(_changes(old, new)) if old and old.cell == new.cell else "" for old, new in pairs]
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    headings = ["cell", "digest", "runs", "violations (95 %)", "worst"]
    for heading in (*headings, "changes since the earlier pool") if any(changes) else headings:
        grid.add_column(heading, overflow="fold", justify="right" if heading == "runs" else "left")
    for each, changed in zip(pools, changes, strict=True):
        row = (each.cell.id, each.digest[:SHORT], str(len(each.runs)), rate(each), _worst(each))
        grid.add_row(*(Text(one_line(told)) for told in ((*row, changed) if any(changes) else row)))
    return grid


def footnotes(pools: Sequence[Pool]) -> Iterator[str]:
    """Yield the notes below the table."""
    cells = counted(len({each.cell for each in pools}), "cell")
    yield f"{counted(len(pools), 'pool')} of {cells}; trials that prove nothing are left out."
    if any(each.sequential and each.k for each in pools):
        yield "* a run of this pool ends at the first violation, so the rate is probably too high"


def _changes(before: Pool, after: Pool) -> Iterator[str]:
    yield from map(str, differences([before.conditions], [after.conditions]))
    for name in Settings.model_fields:
        old, new = getattr(before.settings, name), getattr(after.settings, name)
        if old != new:
            yield f"setting {name} {old} -> {new}"


def _worst(each: Pool) -> str:
    return max(each.outcomes, key=lambda outcome: outcome.severity) + ("*" if each.sequential and each.k else "")
