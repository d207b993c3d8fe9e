"""Stages of a trial: attribute commands, keep the timeline, and say which outcome a failure stands for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from harness.host.process import Journal
from harness.model.commands import Span
from harness.model.errors import CommandFailed, DeadlineExceeded, StageFailed
from harness.model.outcomes import Outcome, Stage

BLAME = {
    Stage.FREEZE: Outcome.CHECKPOINT_FAILED,
    Stage.CHECKPOINT: Outcome.CHECKPOINT_FAILED,
    Stage.THAW: Outcome.SOURCE_HARMED,
    Stage.RESTORE: Outcome.RESTORE_FAILED,
    Stage.STOP: Outcome.SOURCE_HARMED,
    Stage.CLEAN_UP: Outcome.LEAKED,
}
"""What a failed command of the runtime stands for; in stages not named here, and for commands of ours, we failed."""


class Stages:
    """The timeline of one trial."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.timeline: list[Span] = []
        self.failed_at: Stage | None = None
        """The stage in which something broke that is no failure of a command."""

    @contextlib.contextmanager
    def at(self, stage: Stage) -> Iterator[None]:
        """Run what is inside as `stage`; a command's failure or lateness leaves as `StageFailed`."""
        start = time.time_ns()
        try:
            with self.journal.at(stage):
                yield
        except CommandFailed as error:
            log = error.log or tuple(error.stderr.splitlines()[-20:])
            reason = error.log[0] if error.log else str(error)
            outcome = BLAME.get(stage, Outcome.HARNESS_ERROR) if error.runtime else Outcome.HARNESS_ERROR
            raise StageFailed(stage, outcome, reason, log=log) from error
        except DeadlineExceeded as error:
            outcome = Outcome.HUNG if stage in BLAME and not error.ours else Outcome.HARNESS_ERROR
            raise StageFailed(stage, outcome, str(error)) from error
        except Exception:
            self.failed_at = self.failed_at or stage
            raise
        finally:
            self.span(stage.value, start, time.time_ns())

    def span(self, name: str, start_ns: int, end_ns: int) -> None:
        """Put a stretch on the timeline."""
        self.timeline.append(Span(name=name, start_ns=start_ns, end_ns=end_ns))
