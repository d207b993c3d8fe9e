"""Known differences apply beside a cell's own expectation, and explain what their words match."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from harness.model import expectations
from harness.model.errors import UsageError
from harness.model.expectations import differences, unmatched
from harness.model.known.differences import KnownDifference
from harness.model.readings import Aspect, Difference

SOUND = """
[[difference]]
match = ["*.runc@*", "!*.runc@old"]
signature = "^interface lo: .* up .* down"
reason = "it stays down"
link = "https://example.org/issues/1"
owner = "runc"
added = 2026-06-24
review-by = 2026-12-24
"""
DOWN = Difference(
    aspect=Aspect.NETWORK,
    process=None,
    fact="interface lo",
    before="device up MTU 65536",
    after="device down MTU 65536",
    weaker=False,
)
TODAY = dt.date(2026, 12, 1)


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(expectations, "folder", lambda: tmp_path)
    (tmp_path / "a.toml").write_text(SOUND, encoding="utf-8")
    return tmp_path / "a.toml"


def test_it_explains_what_it_declares_in_the_cells_that_it_names(declared: Path) -> None:
    (known,) = differences(TODAY)
    assert known.declared == f"{'/'.join(declared.parts[-3:])}:2-9"
    assert known.explains("ledger.pause.runc@debian-sid", DOWN)
    assert not known.explains("ledger.pause.runc@old", DOWN)
    assert not known.explains("ledger.pause.crun@debian-sid", DOWN)
    assert not known.explains("ledger.pause.runc@debian-sid", DOWN.model_copy(update={"fact": "interface eth0"}))


def test_it_is_overdue_after_its_review(declared: Path) -> None:
    assert declared.exists()
    assert [each.overdue for each in differences(dt.date(2026, 12, 24))] == [False]
    assert [each.overdue for each in differences(dt.date(2026, 12, 25))] == [True]


def test_a_pattern_that_matches_no_cell_is_told(declared: Path) -> None:
    class Cell:
        id = "ledger.pause.runc@old"

    assert unmatched([Cell()]) == ()
    Cell.id = "ledger.pause.crun@new"
    where = "/".join(declared.parts[-3:])
    assert unmatched([Cell()]) == (f"{where}:2-9: *.runc@*", f"{where}:2-9: !*.runc@old")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"*.runc@*"', '"*"', "covers participants that do not exist yet"),
        ('"^interface lo: .* up .* down"', '".*"', "matches any line"),
        ('"^interface lo: .* up .* down"', '"("', "signature"),
        ("https://", "ftp://", "link"),
        ('reason = "it stays down"\n', "", "reason"),
    ],
)
def test_one_that_is_wrong_is_declined(declared: Path, old: str, new: str, told: str) -> None:
    declared.write_text(SOUND.replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        differences(TODAY)


def test_a_field_is_spelled_as_in_a_file() -> None:
    assert "review-by" in KnownDifference.model_json_schema(by_alias=True)["properties"]
