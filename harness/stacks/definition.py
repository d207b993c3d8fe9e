"""Stack definitions: the content of `ci/stacks/*.toml`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from harness.model.errors import unknown
from harness.model.invalid import fault, read_toml, wrong
from harness.model.values import Frozen

KEY_DIGITS = 16


class StackDefinition(Frozen):
    """A set of binaries: either packages of Debian suites, or an existing root file system."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    description: str
    suite: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$", description="Debian suite of the base system")
    also: tuple[str, ...] = Field(default=(), description="further suites, for packages written as PACKAGE/SUITE")
    packages: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = Field(default=(), description="its runtimes that are in the matrix by default")
    root: Path | None = Field(default=None, description="an existing root file system, used as it is")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.suite is None and self.root is None:
            raise fault("needs a suite or a root. Name a Debian suite, or the root of an existing file system")
        if self.suite is not None and self.root is not None:
            raise fault("a stack has a suite or a root, not both. Remove one", "root")
        return self

    @property
    def key(self) -> str:
        """Digest of the content: a changed definition is another stack in the cache."""
        content = self.model_dump_json(include={"suite", "also", "packages"})
        return hashlib.sha256(content.encode()).hexdigest()[:KEY_DIGITS]


def folder() -> Path:
    """Where the definitions are: a link to `ci/stacks`, whose files are in the package that is built."""
    return Path(__file__).resolve().with_name("definitions").resolve()


def path_of(name: str) -> Path:
    """File of the definition called `name`."""
    return folder() / f"{name}.toml"


def available() -> list[str]:
    """Return the names of all defined stacks."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(name: str) -> StackDefinition:
    """Read the definition called `name`; `UsageError` if there is none, `WrongFile` if it is wrong."""
    if name not in available():
        raise unknown("stack", name, available())
    path = path_of(name)
    definition = read_toml(StackDefinition, path)
    if definition.name != name:
        raise wrong(path, ("name",), f"must be {name!r} like the file, not {definition.name!r}. Rename one of them.")
    return definition
