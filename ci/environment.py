"""Prints the key of a Python environment. It changes with what an installation depends on, and with nothing else.

`ci/find-python` runs this with each Python that it finds. Exit code 3: this Python is too old, or cannot make
environments.
"""

import sys

try:
    import hashlib
    import importlib.util
    import json
    import os
    from pathlib import Path
    from typing import Any
except KeyboardInterrupt:  # in the very first moment, of which nobody wants a traceback
    sys.exit(130)

OLDEST = (3, 11)
LOCK = "ci/requirements.txt"
INSTALLED = ("name", "version", "requires-python", "dependencies", "optional-dependencies", "scripts", "entry-points")
"""What pip reads of `[project]`; the rest describes."""


def key(checkout: Path) -> str:
    """Return the key of the environment that this Python makes for a checkout."""
    import tomllib  # noqa: PLC0415  # a Python that is too old does not have it

    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    depends: dict[str, Any] = {
        "lock": (checkout / LOCK).read_text(encoding="utf-8"),
        "project": {name: project["project"].get(name) for name in INSTALLED},
        "build": [project["build-system"], project["tool"]["hatch"]],
        "checkout": str(checkout.resolve()),
        "python": [sys.version, sys.base_prefix, os.uname().machine],
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


def main() -> None:
    """Print the key for the checkout that this file is in."""
    if sys.version_info < OLDEST or not importlib.util.find_spec("ensurepip"):
        sys.exit(3)
    try:
        print(key(Path(__file__).resolve().parents[1]))
    except OSError as error:
        sys.exit(f"{error.filename} cannot be read: {error.strerror}. It belongs to the checkout: git restores it.")
    except ValueError as error:
        sys.exit(f"pyproject.toml cannot be read: {error}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
