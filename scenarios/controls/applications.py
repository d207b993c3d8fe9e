"""Mutants of an application, and their neutral neighbours: its files, and its process in the restored container."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.host import cgroups
from harness.model.controls import APPLIED
from harness.runtimes.contract import Container
from harness.trial.source import Channel
from harness.trial.trial import Trial
from harness.workload.messages import Message
from scenarios.controls import changes
from scenarios.controls.changes import Files
from scenarios.controls.tampered import Moment, Mutant, Tampered

JOURNAL = "upper/data/journal"
LINE = 21
"""Bytes of a line; workloads/journal/journal.c defines it."""
PROCESS = "drive"


def advanced(files: Files) -> None:
    """Append lines from the future."""
    journal = files.folder / JOURNAL
    ticks = journal.stat().st_size // LINE
    with journal.open("ab") as file:
        file.write(b"".join(b"%020d\n" % (ticks + more) for more in range(1, changes.FEW + 1)))


def holed(files: Files) -> None:
    """Leave out a line in the middle."""
    journal = files.folder / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    del lines[len(lines) // 2]
    journal.write_bytes(b"".join(lines))


class OfRestored(Mutant):
    """A trial in which something happens to a restored application, after its first reading."""

    happens: Callable[[Path, str], None]
    """Gets the file of the restored container, and its control group."""

    def read_application(self, clone: Container, channel: Channel, said: Message) -> None:
        """Let it happen, and go on."""
        node = self.far.node
        self.happens(node.path(f"{clone.spec.folder}/{JOURNAL}"), str(node.path(clone.cgroup)))
        self.played = True
        super().read_application(clone, channel, said)


def skipping(journal: Path, _: str) -> None:
    """Append a line from the future, so that the next one does not follow."""
    with journal.open("ab") as file:
        file.write(b"%020d\n" % 10**9)


def touched(journal: Path, _: str) -> None:
    """Change nothing but times."""
    os.utime(journal)


def signalled(number: signal.Signals) -> Callable[[Path, str], None]:
    """Send a signal to the application's process."""

    def send(_: Path, group: str) -> None:
        for pid in cgroups.processes(group):
            if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == PROCESS:
                os.kill(pid, number)

    return send


TAMPERED = {
    "application-advanced": (advanced, changes.copy_of(JOURNAL)),
    "application-holed": (holed, changes.copy_of(JOURNAL)),
}
"""Changes for the reading of the captured files alone, for the mutant and its neighbour."""
HAPPENING = {
    "application-overwritten": (skipping, touched),
    "application-killed": (signalled(signal.SIGKILL), signalled(signal.SIGCONT)),
}
"""What happens to the restored application, likewise."""


def kinds() -> Iterator[tuple[str, type[Trial]]]:
    """Give the trials of all mutants and neighbours, by the ids of their controls."""
    for proof in APPLIED:
        names = (proof.name, f"{proof.name}.neutral")
        said = {"__doc__": f"{proof.what}.", "played": False}
        for name, change in zip(names, TAMPERED.get(proof.name, ()), strict=False):
            how = {"change": staticmethod(change), "moment": Moment.WHILE_READING, "reads": True, "wants": ""}
            yield name, type(Tampered.__name__, (Tampered,), {**said, **how, "control": name})
        for name, event in zip(names, HAPPENING.get(proof.name, ()), strict=False):
            body = {**said, "happens": staticmethod(event), "control": name}
            yield name, type(OfRestored.__name__, (OfRestored,), body)
