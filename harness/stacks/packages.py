"""Which package a program of a root file system is out of, read from dpkg's own files; nothing is started."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.foreign.files import in_root, sha256_of
from harness.host import init

DATABASE = "var/lib/dpkg"
"""Of dpkg(1): `info/PACKAGE.list` has the paths of a package, `status` has the versions."""
FIELD = re.compile(r"^(Package|Version): (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Packaged:
    """A program, and where it is from."""

    program: str
    sha256: str
    package: str = ""
    """Empty if no package of Debian's has it."""
    version: str = ""

    def __str__(self) -> str:
        told = f"package {self.package} {self.version}" if self.package else "in no package of Debian's"
        return f"{self.program}: {told}, sha256 {self.sha256}"


def packaged(root: Path, programs: Iterable[str]) -> Iterator[Packaged]:
    """Yield what is known of each program that is a file of the root file system."""
    places = {program: place for program in programs for place in init.places(str(root), program)[:1]}
    packages, versions = _packages(root, places.values()), _versions(root)
    for program, place in places.items():
        if (file := in_root(root, place)).is_file():
            package = packages.get(place, "")
            yield Packaged(program, sha256_of(file), package, versions.get(package, ""))


def _packages(root: Path, places: Iterable[str]) -> dict[str, str]:
    """Return the package that lists each place, also by its path before the merge of /usr."""
    wanted = {path: place for place in places for path in (f"/{place}", f"/{place.removeprefix('usr/')}")}
    found: dict[str, str] = {}
    for listed in sorted((root / DATABASE / "info").glob("*.list")):
        for path in wanted.keys() & set(listed.read_text(encoding="utf-8", errors="replace").splitlines()):
            found.setdefault(wanted[path], listed.name.removesuffix(".list").partition(":")[0])
    return found


def _versions(root: Path) -> dict[str, str]:
    status = root / DATABASE / "status"
    text = status.read_text(encoding="utf-8", errors="replace") if status.is_file() else ""
    stanzas = (dict(FIELD.findall(stanza)) for stanza in text.split("\n\n"))
    return {each["Package"]: each["Version"] for each in stanzas if len(each) == 2}  # noqa: PLR2004
