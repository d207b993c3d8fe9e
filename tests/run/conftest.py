"""Where a plan is made: without root and processes, and of the stacks and runtimes of the sample."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from harness.host.process import Executor
from harness.model import expectations
from harness.run import matrix
from harness.runtimes import RUNTIMES
from harness.stacks import definition
from harness.workload import definitions
from harness.workload.definitions import available
from tests.run.sample import ADAPTERS, SAMPLE, STACKS


@pytest.fixture
def _neither_root_nor_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Executor, argv: Sequence[str], **__: Any) -> NoReturn:
        raise AssertionError(f"planning started {argv}")

    monkeypatch.setattr(Executor, "run", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def _sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks, adapters and workloads of the sample, without known issues."""
    for name, runtimes in STACKS.items():
        text = f'name = "{name}"\ndescription = "A stack"\nsuite = "sid"\nruntimes = {runtimes}\n'
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    for name in list(RUNTIMES):
        monkeypatch.delitem(RUNTIMES, name)
    for name, adapter in ADAPTERS.items():
        monkeypatch.setitem(RUNTIMES, name, adapter)
    folders = {name: folder for name, folder in available().items() if name in SAMPLE}
    monkeypatch.setattr(definition, "folder", lambda: tmp_path)
    monkeypatch.setattr(matrix, "DEFAULT_STACKS", ("first", "second"))
    monkeypatch.setattr(definitions, "available", lambda: folders)
    monkeypatch.setattr(expectations, "declared", lambda: ())
