"""What an adapter is asked to do with an engine behind CRI: the same on the day of the recording and in tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.cri.engines import WORKLOAD
from harness.host import cgroups
from harness.model.errors import CommandFailed, StageFailed
from harness.model.outcomes import Outcome
from harness.runtimes.contract import Checkpoint, Container, ContainerSpec, State
from harness.runtimes.cri import CHECKPOINT_SECONDS, Cri
from harness.stacks import registry
from harness.stacks.node import Node

FOLDER = f"{Node.storage}/containers"
SPEC = ContainerSpec(
    name="source",
    image=WORKLOAD,
    argv=("/ledger", "--period-us", "100", "--ring", "4096", "--report", "/report", "--surface", "added=/added.ring"),
    folder=f"{FOLDER}/source",
    report=f"{FOLDER}/source/report",
    report_mount="/report",
)
CLONE = replace(SPEC, name="clone", folder=f"{FOLDER}/clone")
BARE = "localhost:5000/bare:latest"
"""An image that has neither Entrypoint nor Cmd."""
FULL, FIXED = "/run/full", "/run/fixed"
"""A small file system, and one that cannot be written to."""


def checkpoint_of(container: Container, cri: Cri, folder: str = f"{Node.storage}/checkpoints/one") -> Checkpoint:
    """Take a checkpoint."""
    checkpoint = Checkpoint(container, folder)
    cri.node.make(folder)
    cri.live_checkpoint(checkpoint)
    return checkpoint


def removed(container: Container, cri: Cri) -> None:
    """End and delete a container."""
    cri.kill(container)
    cri.delete(container)


def declined(act: Callable[[], object]) -> str:
    """Return what the engine says when it declines."""
    with pytest.raises(CommandFailed) as found:
        act()
    assert found.value.runtime
    return str(found.value)


def version(cri: Cri) -> None:
    """Ask whether the engine answers."""
    assert cri._client.answers()


def images(cri: Cri) -> None:
    """Give the engine the images."""
    assert cri.load_image(f"{Node.storage}/image") == WORKLOAD


def life(cri: Cri) -> None:
    """Start, checkpoint and restore a container, and remove both."""
    container = cri.start(SPEC)
    assert cri.state(container) is State.RUNNING
    assert cri.known(SPEC) == container
    assert cri.log(container).startswith("/var/log/pods/source/")
    checkpoint = checkpoint_of(container, cri)
    clone = cri.restore(checkpoint, CLONE)
    assert clone.id != container.id
    assert cri.state(clone) is State.RUNNING
    assert cri.log(clone).startswith("/var/log/pods/")
    cri.kill(clone)
    assert cri.state(clone) is State.STOPPED
    cri.delete(clone)
    assert cri.state(clone) is State.ABSENT
    assert cri.state(container) is State.RUNNING
    removed(container, cri)


def no_image(cri: Cri) -> str:
    """Start a container of an image that is nowhere."""
    return declined(lambda: cri.start(replace(SPEC, image="localhost:5000/nothing:latest")))


def no_command(cri: Cri) -> str:
    """Start a container that nobody says what to run in."""
    return declined(lambda: cri.start(replace(SPEC, image=BARE, argv=())))


def command_of_nobody(cri: Cri) -> str:
    """Restore a container whose image has no command."""
    container = cri.start(replace(SPEC, image=BARE))
    try:
        checkpoint = checkpoint_of(container, cri)
        try:
            removed(cri.restore(checkpoint, replace(CLONE, image=BARE)), cri)
        except CommandFailed as error:
            return str(error)
        return ""
    finally:
        removed(container, cri)


def taken_name(cri: Cri) -> str:
    """Start a container under a name that is taken."""
    container = cri.start(SPEC)
    try:
        return declined(lambda: cri.start(SPEC))
    finally:
        removed(container, cri)


def ended(cri: Cri) -> str:
    """Take a checkpoint of a container that has ended."""
    container = cri.start(SPEC)
    try:
        cri.kill(container)
        return declined(lambda: checkpoint_of(container, cri))
    finally:
        cri.delete(container)


def frozen(cri: Cri) -> str:
    """Take a checkpoint of a container that somebody else has frozen."""
    container = cri.start(SPEC)
    try:
        cri.node.freeze(container.cgroup, frozen=True)
        said = ""
        try:
            checkpoint_of(container, cri)
        except CommandFailed as error:
            said = str(error)
        assert cgroups.frozen(str(cri.node.path(container.cgroup))) is bool(said), "a checkpoint that is taken thaws it"
        assert cri.state(container) is State.RUNNING
        cri.node.freeze(container.cgroup, frozen=False)
        return said
    finally:
        removed(container, cri)


def failed_dump(cri: Cri) -> str:
    """Take a checkpoint in which CRIU fails: a script that it calls fails."""
    container = cri.start(SPEC)
    configuration = f"/etc/criu/{cri.program}.conf"
    try:
        cri.node.write(configuration, "manage-cgroups=ignore\naction-script=/bin/false\n")
        said = declined(lambda: checkpoint_of(container, cri))
        assert cri.state(container) is State.RUNNING
        return said
    finally:
        cri.node.write(configuration, "manage-cgroups=ignore\n")
        removed(container, cri)


def failed_restore(cri: Cri) -> str:
    """Restore a container that has a file open in its pod's shared memory, which another pod lacks."""
    shared = (*SPEC.argv, "--surface", "shm=/dev/shm/shm.ring")
    container = cri.start(replace(SPEC, argv=shared))
    try:
        checkpoint = checkpoint_of(container, cri)
        return declined(lambda: cri.restore(checkpoint, replace(CLONE, argv=shared)))
    finally:
        removed(container, cri)


def archive_at(folder: str) -> Callable[[Cri], str]:
    """Take a checkpoint into a folder that cannot take it, and see that the container goes on."""

    def act(cri: Cri) -> str:
        container = cri.start(SPEC)
        try:
            said = declined(lambda: cri.live_checkpoint(Checkpoint(container, folder)))
            assert cri.state(container) is State.RUNNING
            return said
        finally:
            removed(container, cri)

    return act


def damaged(content: bytes | None) -> Callable[[Cri], str]:
    """Restore from an archive that is not there, empty, or none."""

    def act(cri: Cri) -> str:
        checkpoint = Checkpoint(Container(SPEC, cgroup="", id=""), f"{Node.storage}/checkpoints/damaged")
        cri.node.make(checkpoint.folder)
        if content is not None:
            cri.node.path(checkpoint.archive).write_bytes(content)
        return declined(lambda: cri.restore(checkpoint, CLONE))

    return act


def no_registry(cri: Cri) -> str:
    """Restore after the registry has ended, from which the container's image came."""
    container = cri.start(SPEC)
    try:
        checkpoint = checkpoint_of(container, cri)
        for daemon in [each for each in cri.node.daemons if each.name == registry.PROGRAM]:
            cri.node.daemons.remove(daemon)
            daemon.let_go()
        try:
            removed(cri.restore(checkpoint, CLONE), cri)
        except CommandFailed as error:
            return str(error)
        return ""
    finally:
        removed(container, cri)


def whole_pod(cri: Cri) -> str:
    """Have the engine take two containers of a pod together."""
    container = cri.start(SPEC)
    try:
        second = cri.start(replace(SPEC, name="second", folder=f"{FOLDER}/second", beside=SPEC.name))
        try:
            cri.node.make(f"{Node.storage}/checkpoints/pod")
            with pytest.raises(StageFailed) as found:
                cri.checkpoint_pod((container, second), f"{Node.storage}/checkpoints/pod", seconds=CHECKPOINT_SECONDS)
            assert found.value.outcome is Outcome.UNSUPPORTED
            return str(found.value)
        finally:
            removed(second, cri)
    finally:
        removed(container, cri)


SCENES: dict[str, Callable[[Cri], str | None]] = {
    "version": version,
    "images": images,
    "life": life,
    "no image": no_image,
    "no command": no_command,
    "an image without a command": command_of_nobody,
    "a name that is taken": taken_name,
    "a container that has ended": ended,
    "a container that is frozen": frozen,
    "a dump that fails": failed_dump,
    "a folder that is not there": archive_at("/nowhere"),
    "a full file system": archive_at(FULL),
    "a file system that is read-only": archive_at(FIXED),
    "no archive": damaged(None),
    "an empty archive": damaged(b""),
    "no tar": damaged(b"not an archive\n" * 100),
    "a restore that fails": failed_restore,
    "no registry": no_registry,
    "a whole pod": whole_pod,
}
