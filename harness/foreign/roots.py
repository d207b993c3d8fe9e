"""Where a root file system comes from: packages of Debian suites, a folder, or an archive that somebody brings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from harness.foreign.files import open_regular
from harness.model.invalid import fault, wrong
from harness.model.values import Frozen

INDEX = "index.json"
"""The file that makes a folder an OCI image layout (image-layout.md)."""


class RootSource(Frozen):
    """One source of a root file system."""

    suite: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$", description="Debian suite of the base system")
    also: tuple[str, ...] = Field(default=(), description="further suites, for packages written as PACKAGE/SUITE")
    packages: tuple[str, ...] = ()
    root: Path | None = Field(
        default=None, description="an existing root file system, used as it is; relative to this file"
    )
    archive: Path | None = Field(
        default=None,
        description="a tar of a root file system, or a container image: an OCI layout, an OCI archive or a Docker "
        "archive; relative to this file",
    )

    @property
    def needed(self) -> bool:
        """Whether there has to be one."""
        return True

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        named = [each for each in ("suite", "root", "archive") if getattr(self, each) is not None]
        if not named and self.needed:
            raise fault("needs a suite, a root or an archive. Name a Debian suite, a root file system or an image")
        if len(named) > 1:
            raise fault(f"can be a suite, a root or an archive, not {' and '.join(named)}. Remove one", named[-1])
        if self.packages and self.suite is None:
            raise fault("packages are installed where there is a suite. Remove them", "packages")
        return self

    def beside(self, file: Path, *place: str, system: bool = True) -> Self:
        """Return it with its folder or archive beside the file that names it; raise `WrongFile` if there is none.

        `place`: where in the file it is named; `system`: whether it has to be a whole system, with a folder usr.
        """
        if self.archive is not None:
            return self.model_copy(update={"archive": _archive(file, self.archive, place)})
        if self.root is None:
            return self
        root = file.parent / self.root
        what = ""
        try:
            if not root.is_dir():
                what = f"{root} is no folder."
            elif system and not (root / "usr").is_dir():
                what = f"{root} has no folder usr. Give the root of a file system."
        except OSError as error:
            what = f"{error.strerror}."
        if what:
            raise wrong(file, (*place, "root"), what)
        return self.model_copy(update={"root": root})


def _archive(file: Path, archive: Path, place: tuple[str, ...]) -> Path:
    found = file.parent / archive
    try:
        if not found.exists():
            raise wrong(file, (*place, "archive"), f"{found} does not exist.")
        if found.is_dir() and not (found / INDEX).exists():
            raise wrong(file, (*place, "archive"), f"{found} has no {INDEX}. Name an OCI layout or an archive.")
        os.close(open_regular(found / INDEX if found.is_dir() else found.resolve()))
    except OSError as error:
        raise wrong(file, (*place, "archive"), f"{error.strerror}.") from error
    return found
