"""Published documents stay readable: one file of each kind and of each schema version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.model.values import Frozen
from harness.records.image_path import ImagePath
from harness.records.plan import Closing, Plan
from harness.records.record import SCHEMA_VERSION, Record
from harness.records.run_files import IMAGES, read_closing, read_images, read_plan, read_records
from reports.runs.read import read_run

PUBLISHED = Path(__file__).parent / "published"
VERSIONS = [str(number) for number in range(1, SCHEMA_VERSION + 1)]
KINDS: dict[str, type[Frozen]] = {"plan": Plan, "record": Record, "closing": Closing, "image-path": ImagePath}


@pytest.fixture(params=VERSIONS)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run's folder, made from the files of one schema version."""
    source = PUBLISHED / request.param
    (tmp_path / "records").mkdir()
    for name in ("plan.json", "closing.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    for name, target in (("record.json", "records/cell.jsonl"), ("image-path.json", IMAGES)):
        line = json.dumps(json.loads((source / name).read_text(encoding="utf-8")))
        (tmp_path / target).write_text(f"{line}\n", encoding="utf-8")
    return tmp_path


def test_there_is_one_of_each_kind_of_each_version() -> None:
    assert sorted(path.name for path in PUBLISHED.iterdir()) == VERSIONS
    for version in VERSIONS:
        assert {path.stem for path in (PUBLISHED / version).iterdir()} == set(KINDS)
        for kind in ("plan", "record", "closing"):
            raw = json.loads((PUBLISHED / version / f"{kind}.json").read_text(encoding="utf-8"))
            assert raw["schema_version"] == int(version)


def test_what_was_published_is_read(published: Path) -> None:
    (cell,) = read_plan(published).cells
    (record,) = read_records(published)
    (image,) = read_images(published)
    last = read_closing(published)
    assert last is not None
    assert (cell.id, record.run) == ("ledger.engine.podman/runc@debian-sid", last.run)
    assert len(image.looks) == 1


def test_what_was_published_says_what_it_said_then(published: Path) -> None:
    run = read_run(published)
    (cell,) = run.cells
    assert (cell.outcome, [each.value for each in cell.anomalies][:1], cell.n) == ("inconsistent", ["disk-ahead"], 1)
    assert cell.expectation.link == "https://github.com/containers/podman/pull/28963"
