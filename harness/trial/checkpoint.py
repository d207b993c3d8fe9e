"""Live checkpoint: take memory and disk under a freeze policy, and leave the container running."""

from __future__ import annotations

from collections.abc import Callable

from harness.checkpoints.needs import needs
from harness.checkpoints.untrusted import Unreadable
from harness.model.cells import FreezePolicy
from harness.model.errors import StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Leftover
from harness.runtimes.contract import Checkpoint, Runtime
from harness.stacks.node import Node
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
        confirm_hook(runtime.node, checkpoint.upper, stages)
    else:
        with stages.at(Stage.CAPTURE):
            runtime.capture(checkpoint)


def confirm_hook(node: Node, target: str, stages: Stages) -> None:
    """Check that the post-dump script took the layer, and add its span to the timeline."""
    try:
        begun, ended = (int(node.path(f"{target}.{when}").read_text(encoding="ascii")) for when in ("begun", "ended"))
    except (OSError, ValueError) as error:
        raise StageFailed(
            Stage.CAPTURE, Outcome.HARNESS_ERROR, f"CRIU's post-dump script did not capture the disk: {error}"
        ) from error
    stages.span(Stage.CAPTURE.value, begun, ended)


def left_of(node: Node, checkpoint: Checkpoint) -> Leftover:
    """Say what there is of a checkpoint in its folder."""
    folder, archive = node.path(checkpoint.folder), node.path(checkpoint.archive)
    if not any(path.is_file() for path in folder.rglob("*")):
        return Leftover.GONE
    try:
        needs(archive if archive.exists() else folder)
    except Unreadable:
        return Leftover.PARTIAL
    return Leftover.WHOLE
