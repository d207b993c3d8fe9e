"""Is a live checkpoint a still frame? Memory and disk have to be of one instant."""

from __future__ import annotations

from collections.abc import Callable

from harness.model.cells import Cell


def test_live_consistency(cell: Cell, check: Callable[..., None]) -> None:
    """Every trial of the cell ends as expected; all trials share one source, each is judged against its own cut."""
    check(cell)
