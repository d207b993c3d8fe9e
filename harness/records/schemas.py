"""JSON Schemas of the published documents."""

from __future__ import annotations

from typing import Any

from harness.model.expectations import DeclarationFile
from harness.records.image_path import ImagePath
from harness.records.inspection import Inspection
from harness.records.plan import Closing, Plan
from harness.records.record import Record


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of the published documents, by file stem."""
    return {
        "expectations": DeclarationFile.model_json_schema(),
        "closing": Closing.model_json_schema(mode="serialization"),
        "image-path": ImagePath.model_json_schema(mode="serialization"),
        "inspection": Inspection.model_json_schema(mode="serialization"),
        "plan": Plan.model_json_schema(mode="serialization"),
        "record": Record.model_json_schema(mode="serialization"),
    }
