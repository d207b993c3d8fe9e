"""What becomes of a checkpoint image: who made it, what it went through, what of it survived, whether it restores."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.commands import Command
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Refusal, Verdict
from harness.model.readings import Reading
from harness.model.values import Frozen, SchemaVersion

SCHEMA_VERSION = 1
EXPECTED = Expectation(outcome=Outcome.CONSISTENT, reason="what carries images does not change what they are")


class Spot(StrEnum):
    """Where in an image an annotation sits."""

    INDEX = "index"
    ENTRY = "index-entry"
    MANIFEST = "manifest"
    PART = "part"
    CONFIG = "config"


class ImageFacts(Frozen):
    """What an image says of itself at one place."""

    where: str = Field(description="whose store, or the registry")
    digest: str = Field(description="of the index or manifest that its name stands for")
    media_type: str
    artifact_type: str = ""
    parts: tuple[str, ...] = Field(description="media types of what it is made of: manifests, configuration, layers")
    annotations: dict[Spot, dict[str, str]] = Field(description="labels, where it is the configuration's")


class Base(StrEnum):
    """What the machine that restores knows of the image from which the source container was made."""

    PRESENT = "present"
    PULLABLE = "pullable"
    MISSING = "missing"
    CHANGED = "changed"


class Step(StrEnum):
    """A step of a checkpoint image's way."""

    MAKE = "make"
    SEND = "send"
    RECEIVE = "receive"
    RESTORE = "restore"
    UNPACK = "unpack"


class StepRefusal(Refusal):
    """How well a step was declined, in which words, and with what harm."""

    said: str
    left: tuple[str, ...] = Field(default=(), description="what it left behind")


class Attempt(Frozen):
    """How a step ended: the one at which a way ended, or a restore."""

    step: Step = Field(description="`unpack`: restored past the engine's gate, as the archive that is in the image")
    verdict: Verdict
    refusal: StepRefusal | None = None
    readings: tuple[Reading, ...] = ()
    on_changed_base: bool | None = Field(
        default=None, description="the restored container has the content of an image that was not its source's"
    )


class ImagePath(Frozen):
    """A checkpoint image, what it went through, and what became of it."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    stack: str
    producer: str
    route: str
    base: Base = Base.PRESENT
    looks: tuple[ImageFacts, ...] = Field(default=(), description="as it was made, on its way, as it arrived")
    base_told: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="what it says, where it arrived, of the image that it is based on, and by which annotations",
    )
    attempts: tuple[Attempt, ...] = Field(min_length=1)
    components: tuple[Component, ...] = ()
    commands: tuple[Command, ...] = ()
    expectation: Expectation = EXPECTED

    @property
    def outcome(self) -> Outcome:
        """What became of it when it was used as what it is: the first attempt, since the next goes past a gate."""
        return self.attempts[0].verdict.outcome

    @property
    def as_expected(self) -> bool:
        """Whether it is what it should be."""
        found = self.attempts[0].verdict
        said = found.outcome is self.expectation.outcome and self.expectation.signed(found.reason)
        return said and not self.expectation.overdue

    @property
    def id(self) -> str:
        """Stable: `podman.registry@debian-sid`, `podman.registry.missing@debian-sid`."""
        base = f".{self.base}" if self.base is not Base.PRESENT else ""
        return f"{self.producer}.{self.route}{base}@{self.stack}"
