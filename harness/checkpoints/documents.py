"""JSON of foreign make: what is there has to be of the kind that it should be, and what is absent is empty."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.checkpoints.untrusted import Unreadable, beneath, read_regular

MOST_JSON = 4 << 20
"""Bytes of a JSON document, which takes many times as much memory."""
IMAGES = "checkpoint"
"""Folder of CRIU's images, in the archives of all engines."""
CONFIG, SPEC, STATUS = "config.dump", "spec.dump", "status.dump"
DELETED = "deleted.files"
DELETED_LISTS = (DELETED, "deleted-files.json")
"""Names of lists of what was deleted; the second is that of an agent that takes snapshots in a Kubernetes cluster."""
STATISTICS, LOG = "stats-dump", "dump.log"
"""Files of CRIU's that all engines keep under these names, if they keep them."""


def parsed(path: Path) -> Any:
    """Content of a file with JSON."""
    try:
        return json.loads(read_regular(path, most=MOST_JSON))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is no JSON: {error}") from error


def listed(path: Path) -> list[str]:
    """Content of a file with a list of names, as `deleted.files` is."""
    found = parsed(path)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise Unreadable(f"{path.name} is no list of names")
    return found


def document(path: Path) -> dict[str, Any]:
    """Content of a file with a JSON object."""
    found = parsed(path)
    if not isinstance(found, dict):
        raise Unreadable(f"{path.name} is no JSON object")
    return found


def text(of: Mapping[str, Any], key: str) -> str:
    """A text."""
    value = of.get(key) or ""
    if not isinstance(value, str):
        raise Unreadable(f"{key!r} is no text in it")
    return value


def part(of: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object."""
    value = of.get(key) or {}
    if not isinstance(value, dict):
        raise Unreadable(f"{key!r} is no object in it")
    return value


def parts(of: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects."""
    found = of.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unreadable(f"{key!r} is no list of objects in it")
    return found


def texts(of: Mapping[str, Any], key: str) -> dict[str, str]:
    """An object of texts."""
    found = part(of, key)
    return {name: text(found, name) for name in found}


def there(folder: Path, name: str) -> Path | None:
    """A file of an unpacked archive, if it is there."""
    path = beneath(folder, name)
    return path if os.path.exists(path) else None  # noqa: PTH110  # no name is too long for it
