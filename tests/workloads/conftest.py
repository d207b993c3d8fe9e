"""The compiled ledger, and ledgers that end with the test."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.workload.definitions import find
from harness.workload.programs import compile_workload
from tests.workloads.running_ledger import Ledger


@pytest.fixture(scope="session")
def ledger_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_workload(find("ledger"), tmp_path_factory.mktemp("cache"))


@pytest.fixture
def start(ledger_binary: Path, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Start ledgers that end with the test."""
    with contextlib.ExitStack() as running:
        folders = (tmp_path / f"ledger-{number}" for number in itertools.count())

        def start(*, ring: int = 64, period_us: int = 1000, **options: Any) -> Ledger:
            ledger = Ledger(ledger_binary, next(folders), ring=ring, period_us=period_us, **options)
            return running.enter_context(ledger)

        yield start
