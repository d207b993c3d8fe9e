"""A run of one machine, what is reported of it, and the same run in sixteen shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.formats.report import write_report
from tests.reports.sharded import CELLS, CONTROLS_PLANNED, OF, PLAYED, divide, pages
from tests.reports.synthetic import expected_run, plan, store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of one machine with only expected results."""
    promised = plan(CELLS, 2).model_copy(update={"controls": CONTROLS_PLANNED})
    return store(tmp_path_factory.mktemp("whole") / "run", promised, [*expected_run(CELLS, 2), *PLAYED])


@pytest.fixture(scope="module")
def told(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the report of the run."""
    return pages(write_report([whole], tmp_path_factory.mktemp("told")).parent)


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> list[Path]:
    return divide(whole, tmp_path / "shards", OF)
