"""Live checkpoint: memory and disk under a freeze policy, the container left running."""

from __future__ import annotations

from collections.abc import Callable

from harness.cycle import capture
from harness.cycle.freeze import POLICIES
from harness.cycle.stages import Stages
from harness.model import FreezePolicy, Stage
from harness.runtimes.contract import Captured, Container, Runtime


def take(
    runtime: Runtime,
    container: Container,
    folder: str,
    policy: FreezePolicy,
    stages: Stages,
    *,
    runs_again: Callable[[], object],
) -> Captured:
    """Checkpoint `container` into `folder`; memory first and disk second, as engines do.

    `runs_again` waits until the container was seen running: where nobody holds it still the disk is taken only then,
    or whether it moves on in time would be up to the scheduler.
    """
    node = runtime.node
    upper = f"{folder}/upper"
    freeze = POLICIES[policy](runtime, container, stages, target=upper)
    with freeze.hold():
        with stages.at(Stage.CHECKPOINT):
            checkpoint = runtime.live_checkpoint(container, folder)
        if not freeze.holds_still:
            with stages.at(Stage.THAW):
                runs_again()
        if freeze.captures_in_hook:
            capture.confirm_hook(node, upper, stages)
        else:
            with stages.at(Stage.CAPTURE):
                capture.copy_upper(node, container, upper)
    return Captured(checkpoint, upper)
