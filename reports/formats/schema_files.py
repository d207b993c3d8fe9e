"""The published JSON Schemas. `python -m reports.formats.schema_files` generates them from the models."""

from __future__ import annotations

import json
from pathlib import Path

from harness.records.schemas import schemas
from reports.formats import index

FOLDER = Path(__file__).parents[1] / "schema"


def texts() -> dict[Path, str]:
    """Return the text of each schema file, by path."""
    return {
        FOLDER / f"{stem}.schema.json": json.dumps(schema, indent=1, sort_keys=True) + "\n"
        for stem, schema in (schemas() | index.schemas()).items()
    }


def main() -> None:
    """Write all schema files."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
