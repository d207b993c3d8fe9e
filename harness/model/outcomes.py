"""What a trial can come to: outcomes, anomalies, verdicts, refusals, predictions."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.values import Frozen


class Outcome(StrEnum):
    """What a trial found, mildest first; `severity` orders them."""

    CONSISTENT = "consistent"
    NOT_CAPTURED = "not-captured"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    VACUOUS = "vacuous"
    INCONSISTENT = "inconsistent"
    COLD_START = "cold-start"
    CHECKPOINT_FAILED = "checkpoint-failed"
    RESTORE_FAILED = "restore-failed"
    SOURCE_HARMED = "source-harmed"
    CHECKPOINT_BROKEN = "checkpoint-broken"
    LEAKED = "leaked"
    HUNG = "hung"
    HARNESS_ERROR = "harness-error"
    MISSING = "missing"

    @property
    def severity(self) -> int:
        """Position in the order of severity, 0 the mildest."""
        return list(Outcome).index(self)

    @property
    def violates(self) -> bool | None:
        """Whether a trial with it convicts its cell; null where it proves nothing either way."""
        if self in (Outcome.CONSISTENT, Outcome.NOT_CAPTURED):
            return False
        silent = (Outcome.REFUSED, Outcome.UNSUPPORTED, Outcome.VACUOUS, Outcome.HARNESS_ERROR, Outcome.MISSING)
        return None if self in silent else True


class Anomaly(StrEnum):
    """In which way memory and disk fail to be one instant."""

    DISK_AHEAD = "disk-ahead"
    DISK_BEHIND = "disk-behind"
    TORN = "torn"
    SURFACES_DISAGREE = "surfaces-disagree"
    TIME_BACKWARDS = "time-backwards"
    ORDER_BROKEN = "order-broken"
    RECORD_LOST = "record-lost"
    RECORD_REPEATED = "record-repeated"


class Stage(StrEnum):
    """A step of a trial, in the order of happening; each has a deadline and a span on the timeline."""

    PREPARE = "prepare"
    START = "start"
    FREEZE = "freeze"
    CHECKPOINT = "checkpoint"
    CAPTURE = "capture"
    THAW = "thaw"
    RESTORE = "restore"
    READ = "read"
    STOP = "stop"
    CLEAN_UP = "clean-up"
    AUDIT = "audit"


class Verdict(Frozen):
    """What was found, at which stage, and why in one sentence."""

    outcome: Outcome
    stage: Stage | None = None
    reason: str
    anomalies: tuple[Anomaly, ...] = ()
    also: tuple[Outcome, ...] = Field(default=(), description="milder findings of the same trial, worst first")

    @property
    def found(self) -> tuple[Outcome, ...]:
        """Everything that was found, worst first."""
        return (self.outcome, *self.also)


class Refusal(Frozen):
    """How well a restore was declined."""

    early: bool = Field(description="before anything was begun that loads memory: CRIU, or a sandbox")
    named: tuple[str, ...] = Field(description="facts that differ, where both sides were named")

    @property
    def clear(self) -> bool:
        """Whether it is one that a user can do something with."""
        return self.early and bool(self.named)


class Answer(StrEnum):
    """Of a prediction."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Prediction(Frozen):
    """Whether a checkpoint will be restored somewhere, told from its files and from the versions there."""

    answer: Answer
    reasons: tuple[str, ...] = ()
