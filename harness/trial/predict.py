"""What the commands for checkpoints say of one that is about to be restored by another, as anybody would ask them."""

from __future__ import annotations

import platform
from collections.abc import Collection

from harness.checkpoints.compatibility import Machine, predict
from harness.checkpoints.needs import needs
from harness.checkpoints.untrusted import Unreadable
from harness.host import facts
from harness.model.errors import StillframeError
from harness.model.outcomes import Answer, Prediction
from harness.oracle.inspection import agrees, inspect
from harness.oracle.judge import Evidence
from harness.records.record import Inspected
from harness.runtimes.contract import Checkpoint
from harness.trial.bench import Bench


def prediction(checkpoint: Checkpoint, far: Bench, mapped: Collection[str]) -> Prediction:
    """Whether it will be restored there; `mapped`: keys of external mounts that CRIU's configuration explains there."""
    archive, images = (far.node.path(path) for path in (checkpoint.archive, checkpoint.images))
    try:
        found = needs(archive if archive.exists() else images)
    except Unreadable as error:
        return Prediction(answer=Answer.UNKNOWN, reasons=(str(error),))
    return predict(found, far.components, mapped=mapped, machine=Machine(platform.machine(), facts.cpu_flags()))


def inspection(checkpoint: Checkpoint, far: Bench, evidence: Evidence) -> Inspected:
    """What is in the files that were brought there, and whether that is what was read of them where they were made."""
    archive, images, upper = (far.node.path(path) for path in (checkpoint.archive, checkpoint.images, checkpoint.upper))
    try:
        found = inspect(archive, {}) if archive.exists() else inspect(images, {"/": upper} if upper.exists() else {})
    except StillframeError as error:
        return Inspected(finding=None, reason=str(error), agrees=evidence.offline is None)
    reasons = "; ".join(each.reason for each in found.checkpoints)
    return Inspected(finding=found.finding, reason=reasons, agrees=agrees(found.finding, evidence))
