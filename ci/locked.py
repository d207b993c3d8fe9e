"""Reads the versions in `ci/requirements.txt`, and tells two sets of versions apart.

python3 ci/locked.py OLD NEW    prints what changed from one file to the other
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

Versions = Mapping[str, str]
"""Versions by the name of the package, as the lock file spells it."""


def normal(name: str) -> str:
    """Spell a package's name as the lock file does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(lock: str) -> dict[str, str]:
    """Read the versions out of the text of a lock file."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE))


def changes(old: Versions, new: Versions) -> dict[str, str]:
    """Return a sentence for each package that differs, by its name."""
    return {
        name: _told(name, old.get(name), new.get(name)) for name in sorted({*old, *new}) if _differs(name, old, new)
    }


def _differs(name: str, old: Versions, new: Versions) -> bool:
    return old.get(name) != new.get(name)


def _told(name: str, old: str | None, new: str | None) -> str:
    if old is None:
        return f"{name} {new} is new"
    if new is None:
        return f"{name} {old} is gone"
    return f"{name} {old} -> {new}"


def main(old: str, new: str) -> None:
    """Print what changed from one lock file to another."""
    before, after = (versions(Path(path).read_text(encoding="utf-8")) for path in (old, new))
    changed = changes(before, after)
    print(f"{len(changed)} of {len(after)} packages changed" if changed else "No version changed.")
    for sentence in changed.values():
        print(f"  {sentence}")


if __name__ == "__main__":
    main(*sys.argv[1:])
