"""Commands as they ran, and when things happened.

Times are nanoseconds since the epoch on the machine's wall clock unless a name says otherwise, because they are
compared with times that the workload recorded. Ticks are counts.
"""

from __future__ import annotations

from pydantic import Field

from harness.model.outcomes import Stage
from harness.model.values import Frozen, Whole


class Span(Frozen):
    """A span of the trial's timeline; both ends are equal for an instant."""

    name: str
    start_ns: Whole
    end_ns: Whole


class Command(Frozen):
    """A command as it ran, or a file as it was written (`argv` is empty); a reader can paste it into a terminal."""

    argv: tuple[str, ...] = ()
    where: str = Field(description="`host`, or the node's stack")
    stage: Stage
    runtime: bool = Field(default=False, description="true for a command of the runtime under test")
    cwd: str = "/"
    write_path: str | None = None
    write_text: str | None = None
    write_mode: int | None = Field(
        default=None, description="permissions of the file that was made; null for a setting of the kernel"
    )
    detached: bool = Field(default=False, description="its streams were /dev/null, since a container inherits them")
    background: bool = Field(default=False, description="true for a daemon: nothing waits for its end")
    exit_code: int | None = Field(default=None, description="negative: a signal ended it; null: not finished")
    start_ns: Whole
    seconds: float
    stdout: str = ""
    stderr: str = ""


class Schedule(Frozen):
    """When the checkpoint was requested: the delay planned from the seed, and the real one."""

    seed: int
    planned_delay_us: Whole
    realised_delay_us: Whole | None = None
