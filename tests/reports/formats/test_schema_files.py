from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reports.formats.schema_files import FOLDER, main, texts
from tests.reports.synthetic import MOVING, STILL, moving, plan, record


def schema(stem: str) -> Any:
    return json.loads((FOLDER / f"{stem}.schema.json").read_text(encoding="utf-8"))


def test_the_published_schemas_are_those_of_the_models() -> None:
    for path, text in texts().items():
        assert path.read_text(encoding="utf-8") == text, "regenerate with: python -m reports.formats.schema_files"


def test_records_and_plans_fit_their_schemas() -> None:
    for each in (moving(MOVING), record(STILL)):
        jsonschema.validate(each.model_dump(mode="json"), schema("record"))
    jsonschema.validate(plan([STILL]).model_dump(mode="json"), schema("plan"))


def test_main_writes_them_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.formats.schema_files.FOLDER", tmp_path / "schema")
    main()
    assert {path.name for path in (tmp_path / "schema").iterdir()} == {path.name for path in texts()}
