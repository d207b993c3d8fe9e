"""Is a live checkpoint a still frame? Memory and disk have to be of one instant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.expectations import expected
from harness.model import Cell
from harness.records import Record


def test_live_consistency(cell: Cell, execute: Callable[..., list[Record]]) -> None:
    """Every trial of the cell ends as expected."""
    expectation = expected(cell)
    for record in execute(cell):
        found = record.verdict
        if found.outcome is not expectation.outcome or expectation.anomaly not in (None, *found.anomalies):
            pytest.fail(f"{found.outcome}, not {expectation.outcome}: {found.reason}", pytrace=False)
