"""Make a trial's script shorter: leave parts of the trial out, for as long as the same failure shows often enough.

Comes in: the record of a trial, and a function that writes its script. Goes out: the shorter record, and which parts do
not matter. Each attempt plays the script in a node of the trial's stack, as anybody else would.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.checkpoints.untrusted import Unreadable, read_regular
from harness.model.cells import CgroupVersion
from harness.model.errors import DeadlineExceeded, EnvironmentUnfit
from harness.records.record import Record
from harness.stacks import builds
from harness.stacks.node import Node
from reports.analysis.reductions import Part, parts
from reports.text import counted, shorten

ROUND_SECONDS = 300.0
"""For a round of the whole script; a shorter script may take `SLOWER` times as long as that took, and a bit."""
SLOWER, GRACE_SECONDS = 4.0, 10.0
FOLDER = "/srv/repro"
"""In the node: script, program and checkpoint."""
MOST_CHECKPOINT = 1 << 30
"""Bytes of a checkpoint that is kept."""
ROUND = re.compile(r"^round 1: (.*)$", re.MULTILINE)
MEMORY = frozenset({"inventory.img", "checkpoint.img", "checkpoint.tar"})
"""Files that a checkpoint with memory has: of CRIU, of gVisor, and of Podman."""
WIDTH = 60
"""Characters for what an attempt leaves out."""
READ = re.compile(r"inconsistent|source-harmed: the source finds")
"""Begins what a reading has found: its words have each surface in them."""


class Player:
    """Plays scripts in nodes of one stack."""

    def __init__(self, stack: str, root: Path, program: Path, version: CgroupVersion) -> None:
        """Take the stack with its root file system, and the compiled workload."""
        self._stack, self._root, self._program, self._version = stack, root, program, version
        self._slowest = 0.0
        self.checkpoint = b""
        """A tar with the checkpoint of the latest round that has shown the failure."""

    def rounds(self, script: str) -> Generator[str]:
        """Yield what one round after the other comes to, without an end; all are in one node."""
        limit = SLOWER * self._slowest + GRACE_SECONDS if self._slowest else ROUND_SECONDS
        with Node(self._stack, self._root, name="repro", version=self._version) as node:
            builds.prove(node)
            node.write(f"{FOLDER}/repro.sh", script)
            shutil.copy(self._program, node.path(f"{FOLDER}/ledger"))
            given = (f"LEDGER={FOLDER}/ledger", f"KEEP_CHECKPOINT={FOLDER}/checkpoint.tar")
            argv = ["env", *given, "sh", f"{FOLDER}/repro.sh", "1"]
            while True:
                self.checkpoint = b""
                node.remove(f"{FOLDER}/checkpoint.tar")
                begun, found = time.monotonic(), f"void: it did not end within {limit:.0f} s"
                with contextlib.suppress(DeadlineExceeded):
                    said = node.run(argv, deadline=limit, accept=range(256))
                    told = ROUND.search(said.stdout)
                    found = told[1] if told else f"void: {said.stderr.strip()}"
                if limit == ROUND_SECONDS:
                    self._slowest = max(self._slowest, time.monotonic() - begun)
                with contextlib.suppress(Unreadable):
                    self.checkpoint = read_regular(node.path(f"{FOLDER}/checkpoint.tar"), most=MOST_CHECKPOINT)
                yield found


@dataclass
class Minimiser:
    """Tries what a failure needs; the record becomes shorter meanwhile."""

    record: Record
    write: Callable[[Record], str]
    """Write a record's script."""
    player: Player
    symptom: str
    """What the script looks for."""
    tell: Callable[[str], None]
    rounds: int
    rate: float
    """How often the failure has to show."""
    unneeded: list[Part] = field(default_factory=list)
    needed: list[Part] = field(default_factory=list)
    _reasons: set[str] = field(default_factory=set)
    _has_memory: bool = False

    def see_that_it_shows(self) -> None:
        """Play the whole script, and take note of why it fails; `EnvironmentUnfit` if that is too rare here."""
        with contextlib.closing(self.player.rounds(self.write(self.record))) as rounds:
            found = list(itertools.islice(rounds, self.rounds))
        shown = [each for each in found if self.symptom in each]
        self._reasons = set(map(reason_of, shown))
        self._has_memory = has_memory(self.player.checkpoint)
        self.tell(f"the whole trial: {self.symptom} in {len(shown)} of {counted(self.rounds, 'round')}")
        if len(shown) < self._enough:
            what = f"{self.symptom} is too rare here for --rate {self.rate:g}: {'; '.join(dict.fromkeys(found))}"
            raise EnvironmentUnfit(
                what, remedy="Choose more --rounds or a lower --rate, or leave out --play and --minimise."
            )

    def minimise(self) -> None:
        """Leave out what can be: all parts of one kind, or else each half of them, and so on."""
        for _, group in itertools.groupby(parts(self.record), key=lambda part: part.kind):
            self._try(list(group))

    def checkpoint(self) -> bytes:
        """Play the script until the failure shows; gives a tar with that checkpoint, empty if it has no memory."""
        with contextlib.closing(self.player.rounds(self.write(self.record))) as rounds:
            for found in itertools.islice(rounds, self.rounds):
                if self.symptom in found:
                    break
        return self.player.checkpoint if has_memory(self.player.checkpoint) else b""

    def notes(self) -> Iterator[str]:
        """Say what does not matter, and what of the tried parts it needs."""
        often = f"{self._enough} of {counted(self.rounds, 'round')}"
        yield f"Parts of the trial were left out as long as {self.symptom} showed in {often} or more."
        for words, found in (("do not matter", self.unneeded), ("it needs", self.needed)):
            for kind, group in itertools.groupby(found, key=lambda part: part.kind):
                yield f"{kind}s that {words}: {'; '.join(dict.fromkeys(part.what for part in group))}"

    @property
    def _enough(self) -> int:
        return max(1, math.ceil(self.rate * self.rounds))

    def _try(self, group: Sequence[Part]) -> None:
        shorter = self.record
        for part in group:
            shorter = part.without(shorter)
        if shorter == self.record or self._shows(shorter, group):
            self.record = shorter
            self.unneeded += group
        elif len(group) == 1:
            self.needed += group
        else:
            middle = len(group) // 2
            self._try(group[:middle])
            self._try(group[middle:])

    def _shows(self, record: Record, group: Sequence[Part]) -> bool:
        hits = misses = 0
        with contextlib.closing(self.player.rounds(self.write(record))) as rounds:
            for found in rounds:
                hit = self.symptom in found and reason_of(found) in self._reasons
                hit &= has_memory(self.player.checkpoint) or not self._has_memory
                hits, misses = hits + hit, misses + (not hit)
                if hits >= self._enough or misses > self.rounds - self._enough:
                    break
        what = shorten("; ".join(dict.fromkeys(part.what for part in group)), WIDTH)
        self.tell(f"without {what}: {hits} of {hits + misses}" + ("" if hits >= self._enough else f", then {found}"))
        return hits >= self._enough


def has_memory(checkpoint: bytes) -> bool:
    """Return whether a tar of checkpoints has the memory of one, where the adapters put it."""
    with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(checkpoint)) as archive:
        return any(Path(each.name).name in MEMORY and each.size for each in archive)
    return False


def reason_of(found: str) -> str:
    """Return why a round has failed, without numbers; empty for what a reading has found."""
    return "" if READ.match(found) else re.sub(r"0x[0-9a-f]+|\d+", "N", found)
