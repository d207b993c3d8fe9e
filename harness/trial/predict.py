"""Answers of `compatible` and `inspect` about a checkpoint, before another participant restores it."""

from __future__ import annotations

import platform
from collections.abc import Collection

from harness.checkpoints.compatibility import Machine, predict
from harness.checkpoints.needs import needs
from harness.checkpoints.untrusted import Unreadable
from harness.host import facts
from harness.model.errors import StillframeError
from harness.model.outcomes import Answer, Prediction
from harness.oracle.evidence import Evidence
from harness.oracle.inspection import agrees, inspect
from harness.records.record import Inspected
from harness.runtimes.contract import Checkpoint
from harness.trial.bench import Bench


def prediction(checkpoint: Checkpoint, far: Bench, mapped: Collection[str]) -> Prediction:
    """Predict whether `far` can restore the checkpoint.

    `mapped`: keys of external mounts that CRIU's configuration on `far` maps.
    """
    archive, images = (far.node.path(path) for path in (checkpoint.archive, checkpoint.images))
    try:
        found = needs(archive if archive.exists() else images)
    except Unreadable as error:
        return Prediction(answer=Answer.UNKNOWN, reasons=(str(error),))
    return predict(found, far.components, mapped=mapped, machine=Machine(platform.machine(), facts.cpu_flags()))


def inspection(checkpoint: Checkpoint, far: Bench, evidence: Evidence) -> Inspected:
    """Inspect the copied files on `far`, and compare the finding with the offline reading on the first side."""
    archive, images, upper = (far.node.path(path) for path in (checkpoint.archive, checkpoint.images, checkpoint.upper))
    try:
        found = inspect(archive, {}) if archive.exists() else inspect(images, {"/": upper} if upper.exists() else {})
    except StillframeError as error:
        return Inspected(finding=None, reason=str(error), agrees=evidence.offline is None)
    reasons = "; ".join(each.reason for each in found.checkpoints)
    return Inspected(finding=found.finding, reason=reasons, agrees=agrees(found.finding, evidence))
