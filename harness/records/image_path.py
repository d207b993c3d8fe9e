"""The path of a checkpoint image: who made it, which route it took, what survived, and whether it restores."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.commands import Command
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Refusal, Verdict
from harness.model.readings import Reading
from harness.model.values import Frozen, Name, SchemaVersion

SCHEMA_VERSION = 1
EXPECTED = Expectation(outcome=Outcome.CONSISTENT, reason="registries, stores and archives do not change an image")


class Spot(StrEnum):
    """The place of an annotation in an image."""

    INDEX = "index"
    ENTRY = "index-entry"
    MANIFEST = "manifest"
    PART = "part"
    CONFIG = "config"


class ImageFacts(Frozen):
    """What an image says about itself in one store or in the registry."""

    where: str = Field(description="the store, or the registry")
    digest: str = Field(description="digest of the index or manifest that the image's name refers to")
    media_type: str
    artifact_type: str = ""
    parts: tuple[str, ...] = Field(description="media types of the image's parts: manifests, configuration, layers")
    annotations: dict[Spot, dict[str, str]] = Field(description="annotations by place; for the configuration, labels")


class Base(StrEnum):
    """The state of the source container's base image on the machine that restores."""

    PRESENT = "present"
    PULLABLE = "pullable"
    MISSING = "missing"
    CHANGED = "changed"


class Step(StrEnum):
    """A step on the path of a checkpoint image."""

    MAKE = "make"
    SEND = "send"
    RECEIVE = "receive"
    RESTORE = "restore"
    UNPACK = "unpack"


class StepRefusal(Refusal):
    """How clearly a tool declined a step, in which words, and with what harm."""

    said: str
    left: tuple[str, ...] = Field(default=(), description="what the step left behind")


class Attempt(Frozen):
    """How a restore ended, or the step at which the path ended before one."""

    step: Step = Field(description="`unpack`: restored from the archive in the image, past the engine's own check")
    verdict: Verdict
    refusal: StepRefusal | None = None
    readings: tuple[Reading, ...] = ()
    on_changed_base: bool | None = Field(
        default=None, description="the restored container has the content of another image than its source"
    )


class ImagePath(Frozen):
    """A checkpoint image, its path from a producer to a restore, and the result."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    stack: Name
    producer: Name
    route: Name
    base: Base = Base.PRESENT
    looks: tuple[ImageFacts, ...] = Field(default=(), description="the image as made, on its way, and on arrival")
    base_told: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="facts about its base image that the image gives on arrival, with the annotations that hold them",
    )
    attempts: tuple[Attempt, ...] = Field(min_length=1)
    components: tuple[Component, ...] = ()
    commands: tuple[Command, ...] = ()
    expectation: Expectation = EXPECTED

    @property
    def outcome(self) -> Outcome:
        """The outcome of the first attempt; a second attempt goes past the engine's own check."""
        return self.attempts[0].verdict.outcome

    @property
    def as_expected(self) -> bool:
        """Whether the outcome is the expected one."""
        found = self.attempts[0].verdict
        said = found.outcome is self.expectation.outcome and self.expectation.signed(found.reason)
        return said and not self.expectation.overdue

    @property
    def id(self) -> str:
        """Stable id: `podman.registry@debian-sid`, `podman.registry.missing@debian-sid`."""
        base = f".{self.base}" if self.base is not Base.PRESENT else ""
        return f"{self.producer}.{self.route}{base}@{self.stack}"
