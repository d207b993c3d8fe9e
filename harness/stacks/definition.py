"""Stack definitions: the content of `ci/stacks/*.toml`."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from harness.model.errors import UsageError, unknown
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
        if (self.suite is None) == (self.root is None):
            raise ValueError("a stack must have either a suite or a root")
        return self

    @property
    def key(self) -> str:
        """Digest of the content: a changed definition is another stack in the cache."""
        content = self.model_dump_json(include={"suite", "also", "packages"})
        return hashlib.sha256(content.encode()).hexdigest()[:KEY_DIGITS]


def folder() -> Path:
    """Return the folder of the definitions."""
    return Path(__file__).resolve().parents[2] / "ci" / "stacks"


def available() -> list[str]:
    """Return the names of all defined stacks."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(name: str) -> StackDefinition:
    """Read the definition called `name`; `UsageError` if it does not exist or is not valid."""
    if name not in available():
        raise unknown("stack", name, available())
    path = folder() / f"{name}.toml"
    try:
        definition = StackDefinition.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UsageError(f"{path} is not a valid stack definition: {error}") from error
    if definition.name != name:
        raise UsageError(f"{path} has the name {definition.name!r}", remedy=f"Write name = {name!r}.")
    return definition
