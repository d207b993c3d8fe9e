"""Live checkpoint: take memory and disk under a freeze policy, and leave the container running."""

from __future__ import annotations

from collections.abc import Callable

from harness.model.cells import FreezePolicy
from harness.model.outcomes import Stage
from harness.runtimes.contract import Checkpoint, Runtime
from harness.trial import capture
from harness.trial.freeze import POLICIES, NoFreeze
from harness.trial.stages import Stages


def take(
    runtime: Runtime,
    checkpoint: Checkpoint,
    policy: FreezePolicy,
    stages: Stages,
    *,
    runs_again: Callable[[], object],
) -> None:
    """Take `checkpoint`; if the runtime leaves the disk to its caller, take memory first and disk second.

    `runs_again` waits until the container has run. Under a policy that does not hold it still, the disk is taken only
    then; otherwise the result would depend on the scheduler.
    """
    freeze = POLICIES[policy](runtime, checkpoint, stages)
    with freeze.hold():
        take_held(freeze, runs_again=runs_again)


def take_held(freeze: NoFreeze, *, runs_again: Callable[[], object]) -> None:
    """Take the checkpoint of a container that `freeze` already holds, if it holds any."""
    runtime, checkpoint, stages = freeze.runtime, freeze.checkpoint, freeze.stages
    with stages.at(Stage.CHECKPOINT):
        runtime.node.make(checkpoint.folder)
        runtime.live_checkpoint(checkpoint)
    if not runtime.way.leaves_disk:
        return
    if not freeze.holds_still:
        with stages.at(Stage.THAW):
            runs_again()
    if freeze.captures_in_hook:
        capture.confirm_hook(runtime.node, checkpoint.upper, stages)
    else:
        with stages.at(Stage.CAPTURE):
            runtime.capture(checkpoint)
