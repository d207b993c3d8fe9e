"""How a container is ended: by the runtime's own command, until the kernel says that nothing of it runs."""

from __future__ import annotations

from collections.abc import Callable

from harness.host import cgroups
from harness.host.wait import until
from harness.model.errors import CommandFailed, DeadlineExceeded

KILL_SECONDS = 20.0


def end(name: str, group: str, kill: Callable[[], object]) -> None:
    """Call `kill` and wait until the group at the path `group` is empty; where it is, nothing is done.

    The container may end by itself in between, and its runtime then declines with an error: that is told as
    `CommandFailed` only of a container that runs on; of one whose end was promised `DeadlineExceeded` is.
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
