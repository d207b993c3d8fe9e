"""What a trial has observed, which the judge turns into a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.model.outcomes import Refusal, Verdict
from harness.model.readings import Reading, Sameness, SourceHealth
from harness.records.record import Continuation


@dataclass
class Evidence:
    """All observations of a trial, filled in step by step; None means not observed."""

    source_nonce: str | None = None
    freeze_begin_ns: int | None = None
    period_ns: int = 0
    outside: frozenset[str] = frozenset()
    """Surfaces that are documented as outside the checkpoint."""
    offline: Reading | None = None
    others: list[Reading] = field(default_factory=list)
    """Offline readings of further workloads in the same checkpoint."""
    group: list[Reading] = field(default_factory=list)
    """Readings of the other containers that tick together with this one."""
    unreadable: str = ""
    """Why the expected offline reading is missing."""
    broken: str = ""
    """How the archive is cut off or incomplete, although the engine reported success."""
    lacking: str = ""
    """What the images lack; if the checkpoint restores well all the same, our reading is wrong."""
    restored: Reading | None = None
    restored_moves: bool = False
    """The restored counter was seen to grow."""
    stood_at: int | None = None
    """The restored counter at which it stood still, after it had moved."""
    recovered: Reading | None = None
    """What a fresh application found in the captured files."""
    afterwards: Reading | None = None
    """What a fresh application found in the restored container's files, after that had run on and ended."""
    unfit: str = ""
    """Why the restored application could not go on."""
    log: Continuation | None = None
    """How the restored container's log goes on, for a workload that prints."""
    started_afresh: bool = False
    """The restored container announced a start of its own."""
    source: SourceHealth = field(default_factory=SourceHealth)
    sameness: Sameness | None = None
    """The restored container, compared with the source; None: not compared."""
    refusal: Refusal | None = None
    """How the restore was declined, if it was."""
    leaks: tuple[str, ...] = ()
    failures: list[Verdict] = field(default_factory=list)
    """How the failed stages ended."""

    @property
    def cut(self) -> Reading | None:
        """The reading that gives the instant of the checkpoint."""
        return self.offline or self.restored

    @property
    def readings(self) -> list[Reading]:
        """The readings of all witnesses of the checkpoint."""
        found = (self.offline, self.recovered, self.restored, self.afterwards)
        return [reading for reading in found if reading is not None]

    @property
    def idle_ns(self) -> int | None:
        """Time from the last tick to the begin of the freeze; negative if the workload ticked after that."""
        if self.cut is None or self.freeze_begin_ns is None:
            return None
        return self.freeze_begin_ns - self.cut.counter_wall_ns
