"""Which package a program of a root file system is out of, read from dpkg's own files; nothing is started."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

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
    versions = _versions(root)
    for program in programs:
        for place in init.places(str(root), program)[:1]:
            if (root / place).is_symlink():  # it may lead to the host's
                continue
            package = _package_of(root, place)
            digest = hashlib.sha256((root / place).read_bytes()).hexdigest()
            yield Packaged(program, digest, package, versions.get(package, ""))


def _package_of(root: Path, place: str) -> str:
    """Return the package that lists a path, also by its path before the merge of /usr."""
    lines = {f"/{place}", f"/{place.removeprefix('usr/')}"}
    for listed in sorted((root / DATABASE / "info").glob("*.list")):
        if not lines.isdisjoint(listed.read_text(encoding="utf-8", errors="replace").splitlines()):
            return listed.name.removesuffix(".list").partition(":")[0]
    return ""


def _versions(root: Path) -> dict[str, str]:
    status = root / DATABASE / "status"
    text = status.read_text(encoding="utf-8", errors="replace") if status.is_file() else ""
    stanzas = (dict(FIELD.findall(stanza)) for stanza in text.split("\n\n"))
    return {each["Package"]: each["Version"] for each in stanzas if len(each) == 2}  # noqa: PLR2004
