"""Stack definitions: what is in `ci/stacks/*.toml`."""

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
    """A set of binaries: either packages of Debian suites, or the root of a file system that exists."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    description: str
    suite: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$", description="Debian suite of the base system")
    also: tuple[str, ...] = Field(default=(), description="further suites whose packages can be named as PACKAGE/SUITE")
    packages: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = Field(default=(), description="what of it takes part in the matrix by default")
    root: Path | None = Field(default=None, description="an existing root file system, used as it is")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.suite is None) == (self.root is None):
            raise ValueError("a stack has either a suite or a root")
        return self

    @property
    def key(self) -> str:
        """Digest of what is in it: a changed definition is another stack in the cache."""
        content = self.model_dump_json(include={"suite", "also", "packages"})
        return hashlib.sha256(content.encode()).hexdigest()[:KEY_DIGITS]


def folder() -> Path:
    """Where the definitions are."""
    return Path(__file__).resolve().parents[2] / "ci" / "stacks"


def available() -> list[str]:
    """Names of all defined stacks."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(name: str) -> StackDefinition:
    """Read the definition called `name`; `UsageError` if there is none or it is wrong."""
    if name not in available():
        raise unknown("stack", name, available())
    path = folder() / f"{name}.toml"
    try:
        definition = StackDefinition.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UsageError(f"{path} is no stack definition: {error}") from error
    if definition.name != name:
        raise UsageError(f"{path} calls itself {definition.name!r}", remedy=f"Its name must be {name!r}.")
    return definition
