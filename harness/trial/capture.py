"""Capture by the post-dump script: check that the script took the writable layer."""

from __future__ import annotations

from harness.model.errors import StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.stacks.node import Node
from harness.trial.stages import Stages


def confirm_hook(node: Node, target: str, stages: Stages) -> None:
    """Check that the post-dump script took the layer, and add its span to the timeline."""
    try:
        begun, ended = (int(node.path(f"{target}.{when}").read_text(encoding="ascii")) for when in ("begun", "ended"))
    except (OSError, ValueError) as error:
        raise StageFailed(
            Stage.CAPTURE, Outcome.HARNESS_ERROR, f"CRIU's post-dump script did not capture the disk: {error}"
        ) from error
    stages.span(Stage.CAPTURE.value, begun, ended)
