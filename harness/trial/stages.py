"""Stages of a trial: attribute commands, keep the timeline, and turn a failure into an outcome."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from harness.host import audit
from harness.host.process import Journal
from harness.model.commands import Command, Span
from harness.model.errors import CommandFailed, DeadlineExceeded, Lost, StageFailed
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.stacks.node import Node

BLAME = {
    Stage.START: Outcome.CHECKPOINT_FAILED,
    Stage.FREEZE: Outcome.CHECKPOINT_FAILED,
    Stage.CHECKPOINT: Outcome.CHECKPOINT_FAILED,
    Stage.CAPTURE: Outcome.CHECKPOINT_FAILED,
    Stage.THAW: Outcome.SOURCE_HARMED,
    Stage.RESTORE: Outcome.RESTORE_FAILED,
    Stage.STOP: Outcome.SOURCE_HARMED,
    Stage.CLEAN_UP: Outcome.LEAKED,
}
"""Outcome of a failed runtime command by stage; other stages and the harness's own commands mean harness-error."""
DAEMON_LINES = 20
SPOILED = frozenset({Outcome.SOURCE_HARMED, Outcome.LEAKED, Outcome.HUNG, Outcome.HARNESS_ERROR})
"""Outcomes after which the bench is unfit for another trial."""


class Stages:
    """The timeline of one trial."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.timeline: list[Span] = []
        self.failed_at: Stage | None = None
        """The stage in which something other than a command failed."""

    @contextlib.contextmanager
    def at(self, stage: Stage) -> Iterator[None]:
        """Run the code inside as `stage`; raise `StageFailed` if a command fails or is late."""
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
            late = BLAME.get(stage) and (BLAME[stage] if isinstance(error, Lost) else Outcome.HUNG)
            outcome = late if late and not error.ours else Outcome.HARNESS_ERROR
            raise StageFailed(stage, outcome, str(error), log=error.log) from error
        except Exception:
            self.failed_at = self.failed_at or stage
            raise
        finally:
            self.span(stage.value, start, time.time_ns())

    def span(self, name: str, start_ns: int, end_ns: int) -> None:
        """Add a span to the timeline."""
        self.timeline.append(Span(name=name, start_ns=start_ns, end_ns=end_ns))


def told(node: Node, verdict: Verdict, *, failed: bool) -> Iterator[str]:
    """Give what a node tells of a trial that ends with `verdict`, and mark it as told; `failed`: a stage failed."""
    if failed or verdict.outcome in SPOILED:
        yield from node.daemon_logs(DAEMON_LINES)
    if verdict.outcome in SPOILED:
        with contextlib.suppress(OSError):
            yield from audit.tree(node.pid)
    if verdict.outcome.violates is not False:
        yield from node.crashes()[-DAEMON_LINES:]
    node.mark()


def warnings(commands: Sequence[Command]) -> Iterator[str]:
    """Give the lines of stderr from checkpoint commands that succeeded."""
    for command in commands:
        if command.runtime and command.stage is Stage.CHECKPOINT and command.exit_code == 0:
            yield from (line.strip() for line in command.stderr.splitlines() if line.strip())


def behind(error: BaseException) -> list[BaseException]:
    """Return `error` and the earlier errors of the unwinding, oldest first, without causes of `raise ... from`."""
    found = []
    at: BaseException | None = error
    while at is not None:
        found.append(at)
        while at.__cause__ is not None:
            at = at.__cause__
        at = at.__context__
    return found[::-1]
