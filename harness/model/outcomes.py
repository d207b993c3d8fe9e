"""Results of trials: outcomes, anomalies, verdicts, refusals, predictions."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.values import Frozen


class Outcome(StrEnum):
    """What a trial found. The mildest outcome is first; `severity` orders them."""

    CONSISTENT = "consistent"
    NOT_CAPTURED = "not-captured"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    VACUOUS = "vacuous"
    ALTERED = "altered"
    UNFIT = "unfit"
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
        """Position in the order of severity; 0 is the mildest."""
        return list(Outcome).index(self)

    @property
    def violates(self) -> bool | None:
        """Whether one trial with this outcome convicts its cell; None if the outcome proves nothing."""
        if self in (Outcome.CONSISTENT, Outcome.NOT_CAPTURED):
            return False
        silent = (Outcome.REFUSED, Outcome.UNSUPPORTED, Outcome.VACUOUS, Outcome.HARNESS_ERROR, Outcome.MISSING)
        return None if self in silent else True


class Anomaly(StrEnum):
    """How memory and disk differ from one instant."""

    DISK_AHEAD = "disk-ahead"
    DISK_BEHIND = "disk-behind"
    TORN = "torn"
    SURFACES_DISAGREE = "surfaces-disagree"
    TIME_BACKWARDS = "time-backwards"
    ORDER_BROKEN = "order-broken"
    RECORD_LOST = "record-lost"
    RECORD_REPEATED = "record-repeated"
    DAMAGED = "damaged"
    CONTAINERS_DISAGREE = "containers-disagree"


class Stage(StrEnum):
    """The steps of a trial, in order; each has a deadline and a span on the timeline."""

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
    """What a trial found, at which stage, and why, in one sentence."""

    outcome: Outcome
    stage: Stage | None = None
    reason: str
    anomalies: tuple[Anomaly, ...] = ()
    also: tuple[Outcome, ...] = Field(default=(), description="milder findings of the same trial, worst first")

    @property
    def found(self) -> tuple[Outcome, ...]:
        """All findings, worst first."""
        return (self.outcome, *self.also)

    def without(self, outcome: Outcome, why: str) -> Verdict:
        """Return the verdict without a finding of this outcome; `why`: reason of what is then the outcome."""
        others = tuple(each for each in self.found if each is not outcome) or (Outcome.CONSISTENT,)
        changed = {} if others[0] is self.outcome else {"reason": why}
        return self.model_copy(update={"outcome": others[0], "also": others[1:], **changed})

    @property
    def not_tried(self) -> bool:
        """Whether the trial could not begin, because what it needs could not be made ready."""
        return self.outcome is Outcome.HARNESS_ERROR and self.stage is Stage.PREPARE


class Refusal(Frozen):
    """How clearly a runtime declined a restore."""

    early: bool = Field(description="true if it declined before CRIU or a sandbox started to load memory")
    named: tuple[str, ...] = Field(
        description="differences between the two sides that its message names, each with both sides"
    )

    @property
    def clear(self) -> bool:
        """Whether a user can act on the refusal."""
        return self.early and bool(self.named)


class Answer(StrEnum):
    """The answer of a prediction."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Prediction(Frozen):
    """Whether a participant can restore a checkpoint, predicted from the checkpoint's files and its versions."""

    answer: Answer
    reasons: tuple[str, ...] = ()
    translate: str = Field(
        default="", description="options of `stillframe translate` after which the answer is no longer no; empty: none"
    )
