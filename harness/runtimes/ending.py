"""The end of a container: the runtime's own command, and a wait until the kernel shows no process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from harness.host import cgroups
from harness.host.wait import until
from harness.model.errors import CommandFailed, DeadlineExceeded
from harness.runtimes.contract import Container, Runtime, State

KILL_SECONDS = 20.0


def let_go(runtime: Runtime, container: Container) -> None:
    """Resume a paused container, so that it can be ended: version 1 of the freezer holds even a killed process.

    A container that is only remembered as paused may decline it.
    """
    if runtime.state(container) is State.PAUSED:
        with contextlib.suppress(CommandFailed):
            runtime.resume(container)


def end(name: str, group: str, kill: Callable[[], object]) -> None:
    """Call `kill` and wait until the group at the path `group` is empty; do nothing if it already is.

    Raises `CommandFailed` if `kill` fails and the container runs on, and `DeadlineExceeded` if `kill` succeeds and the
    container runs on. A failure of `kill` is ignored if the container has ended by itself.
    """
    if not cgroups.processes(group):
        return
    declined = None
    try:
        kill()
    except CommandFailed as error:
        declined = error
    try:
        until(lambda: not cgroups.processes(group), seconds=KILL_SECONDS, what=f"the end of {name}")
    except DeadlineExceeded as late:
        raise declined or late from None
