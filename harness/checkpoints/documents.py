"""Readers of foreign JSON: a value must have the right type, and an absent value is empty."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.checkpoints.untrusted import Unreadable, beneath, read_regular

MOST_JSON = 4 << 20
"""Maximum size of a JSON document in bytes; in memory it takes many times as much."""
IMAGES = "checkpoint"
"""Folder of CRIU's images, in the archives of all engines."""
CONFIG, SPEC, STATUS = "config.dump", "spec.dump", "status.dump"
DELETED = "deleted.files"
DELETED_LISTS = (DELETED, "deleted-files.json")
"""Names of lists of deleted files; the second comes from an agent that takes snapshots in a Kubernetes cluster."""
STATISTICS, LOG = "stats-dump", "dump.log"
"""CRIU's own files; every engine that keeps them uses these names."""


def parsed(path: Path) -> Any:
    """Read a JSON file."""
    try:
        return json.loads(read_regular(path, most=MOST_JSON))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is not JSON: {error}") from error


def listed(path: Path) -> list[str]:
    """Read a JSON file with a list of names, such as `deleted.files`."""
    found = parsed(path)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise Unreadable(f"{path.name} is not a list of names")
    return found


def document(path: Path) -> dict[str, Any]:
    """Read a JSON file with an object."""
    found = parsed(path)
    if not isinstance(found, dict):
        raise Unreadable(f"{path.name} is not a JSON object")
    return found


def text(of: Mapping[str, Any], key: str) -> str:
    """Return the text of `key`, empty if absent."""
    value = of.get(key) or ""
    if not isinstance(value, str):
        raise Unreadable(f"its value of {key!r} is not a text")
    return value


def part(of: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the object of `key`, empty if absent."""
    value = of.get(key) or {}
    if not isinstance(value, dict):
        raise Unreadable(f"its value of {key!r} is not an object")
    return value


def parts(of: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the list of objects of `key`, empty if absent."""
    found = of.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unreadable(f"its value of {key!r} is not a list of objects")
    return found


def texts(of: Mapping[str, Any], key: str) -> dict[str, str]:
    """Return the object of texts of `key`, empty if absent."""
    found = part(of, key)
    return {name: text(found, name) for name in found}


def there(folder: Path, name: str) -> Path | None:
    """Return the path of a file in an unpacked archive; None if it does not exist."""
    path = beneath(folder, name)
    return path if os.path.exists(path) else None  # noqa: PTH110  # accepts a name that is too long
