"""Applications: what a fresh one makes of the files of a checkpoint and of a restored container, and why one fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from harness.checkpoints.archive import DELETED_BY
from harness.checkpoints.disk import CapturedFiles
from harness.host import audit
from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Reading, SurfaceReading, Witness
from harness.oracle.continuity import FINISHED_TICKS
from harness.runtimes import criu_configuration
from harness.runtimes.contract import Container, Contents, Runtime
from harness.runtimes.image_archive import OF_APPLICATION
from harness.stacks.node import Node
from harness.trial.restored import newest_tick
from harness.trial.source import Channel, has_failed
from harness.workload.definitions import APPLICATION, PROGRAMS
from harness.workload.image import lay_out_application
from harness.workload.messages import Beat, Failed, Message, ReadingMessage

if TYPE_CHECKING:
    from harness.trial.bench import Bench

COPY_SECONDS = 120.0
VERIFY_SECONDS = 60.0
AFTER_SECONDS = 60.0
AFTER_TICKS = 30
"""Ticks for which a restored application runs on before it is asked to end."""
SAID = re.compile(r"disk ([0-9]{1,19})|damaged(?: (.*))?")
"""What `verify` prints; workloads/ledger/application.h has the same words."""
ISOLATED = ("unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child")
AFRESH = r"""set -e
mount -n -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
for name in proc dev; do mkdir -p "$2/root/$name"; done
mount -n -t proc proc "$2/root/proc"
mount -n --rbind /dev "$2/root/dev"
root=$2/root program=$3 input=$4
shift 4
for name; do rm -rf -- "$root/$name"; done
printf %s "$input" | chroot "$root" "$program"
"""
"""Arguments: image, a folder of its own, program, its input, and names of deleted files, relative to the root."""


def recovered(bench: Bench, contents: Contents, memory: Reading) -> Reading | None:
    """Have a fresh application read the captured files, if the workload has one and they are captured.

    `memory`: the reading with the counter. A program `verify` that does not speak as it should is no finding about a
    runtime: raise `StageFailed`.
    """
    surface, disk = bench.workload.applied, contents.disks.get("/")
    if surface is None or disk is None:
        return None
    folder = bench.new_folder("checkpoints", "recovered")
    try:
        disk_tick, why = _verified(bench.node, bench.image_folder, folder, disk)
    finally:
        bench.node.remove(folder)
    found = SurfaceReading(surface=surface.name, newest=disk_tick or None, newest_wall_ns=None, damaged=why)
    return memory.model_copy(update={"witness": Witness.RECOVERED, "surfaces": (found,)})


def _verified(node: Node, image: str, folder: str, captured: CapturedFiles) -> tuple[int, str]:
    """Run `verify` on captured files over an image: return the tick that it finds, and why they are damaged."""
    node.make(f"{folder}/work", f"{folder}/root")
    own = f"/{captured.folder.relative_to(node.path('/'))}"
    node.run(["cp", "--archive", own, f"{folder}/upper"], deadline=COPY_SECONDS)
    gone = list(captured.deleted)
    if not captured.listed:
        upper = node.path(f"{folder}/upper")
        for path in sorted(upper.rglob(f"{DELETED_BY}*")):
            gone.append(str(path.relative_to(upper).with_name(path.name.removeprefix(DELETED_BY))))
            path.unlink()
    try:
        said = afresh(node, image, folder, PROGRAMS[1], gone=sorted(gone))
    except DeadlineExceeded as error:
        what = f"verify did not end within {VERIFY_SECONDS:g} s on the captured files"
        raise StageFailed(Stage.READ, Outcome.HARNESS_ERROR, what) from error
    first = said.stdout.strip().splitlines()[:1]
    found = SAID.fullmatch(first[0].strip()) if first else None
    if found is None:
        told = repr(first[0][:200]) if first else f"nothing (exit code {said.exit_code}): {said.stderr.strip()[-200:]}"
        what = f"verify says neither `disk N` nor `damaged WHY` of the captured files, but {told}"
        raise StageFailed(Stage.READ, Outcome.HARNESS_ERROR, what)
    disk, why = found.groups()
    return int(disk or 0), "" if disk else why or "it does not say why"


def afresh(node: Node, image: str, folder: str, program: str, *, words: str = "", gone: Sequence[str] = ()) -> Command:
    """Run a program of an application over its image, and over the files in the folder `upper` of `folder`.

    `words`: its input; `gone`: files that are deleted. Raise `DeadlineExceeded` after a minute.
    """
    argv = [*ISOLATED, "sh", "-c", AFRESH, program, image, folder, f"{APPLICATION}/{program}", words, *gone]
    return node.run(argv, deadline=VERIFY_SECONDS, accept=range(256))


def unfit(said: Failed, restored: Reading | None, source: Channel | None) -> str:
    """Say why a restored application cannot go on; raise `StageFailed` if it might have failed without a checkpoint.

    It might not if the source has passed that tick, or if it is the one in which the checkpoint was taken.
    """
    passed = newest_tick(source, 0) if source else 0
    if passed >= said.n or (restored is not None and said.n <= restored.counter + FINISHED_TICKS):
        return said.what
    what = f"the application failed at tick {said.n:,}, to which the source did not come: {said.what}"
    raise StageFailed(Stage.READ, Outcome.HARNESS_ERROR, what)


def afterwards(
    runtime: Runtime, container: Container, channel: Channel, said: Message, *, group: str
) -> Reading | Failed:
    """Let a restored application run on, have it end, and return what a fresh one then reads in its files.

    `said`: its first tick. If it fails before the end, return its message instead.
    """

    def ended(later: Message) -> bool:
        return has_failed(later) or (isinstance(later, ReadingMessage) and later.reason == "afterwards")

    what, until = "ticks of the restored application", said.n + AFTER_TICKS
    last = channel.wait_for(lambda later: moves(later, until), seconds=AFTER_SECONDS, what=what, group=group)
    if isinstance(last, Beat):
        try:
            runtime.signal(container, "USR1")
        except CommandFailed:  # it has just failed, and with it its container has ended
            if not any(map(has_failed, channel.listen())):
                raise
        last = channel.wait_for(ended, seconds=AFTER_SECONDS, what="the end of the restored application", group=group)
        if isinstance(last, Failed) and last.by == "ending":  # it breaks the contract
            raise StageFailed(Stage.READ, Outcome.HARNESS_ERROR, f"after the end of the application: {last.what}")
    return last if isinstance(last, Failed) else cast(ReadingMessage, last).to_reading(Witness.AFTERWARDS)


def moves(said: Message, since: int) -> bool:
    """Return whether a message is about a tick after `since`, or about an application that cannot go on."""
    return has_failed(said) or (isinstance(said, Beat) and said.n > since)


def ready(bench: Bench) -> tuple[Command, ...]:
    """Load the image of the bench's workload, and tell CRIU what it needs; return the commands that did it.

    Raise `EnvironmentUnfit` if there is no root file system for the image.
    """
    node, workload = bench.node, bench.workload
    if workload.application and workload.name not in bench.images:
        root = bench.roots.get(workload.name)
        if isinstance(root, str):
            raise EnvironmentUnfit(root)
        before = len(node.journal.commands)
        lay_out_application(node.path(bench.image_folder), root, bench.binaries, workload)
        image = bench.runtime.load_image(bench.image_folder, f"{OF_APPLICATION}{workload.name}:latest")
        bench.images[workload.name] = image, tuple(node.journal.commands[before:])
    before = len(node.journal.commands)
    criu_configuration.add(node, workload.criu)
    configured = tuple(node.journal.commands[before:])
    if workload.application and bench.warm:
        bench.idle = audit.of_node(node.pid)
    return (*bench.images.get(workload.name, ("", ()))[1], *configured)
