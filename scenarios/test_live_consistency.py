"""Is a live checkpoint a still frame? Memory and disk must be of one instant."""

from __future__ import annotations

from collections.abc import Callable

from harness.model.cells import Cell


def test_live_consistency(cell: Cell, check: Callable[..., None]) -> None:
    """Every trial of the cell ends as expected; the trials share one source, and each has its own checkpoint."""
    check(cell)
