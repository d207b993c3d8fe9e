"""Where do a container's secrets end up? Canaries in its memory, files, environment and arguments are looked for."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.checkpoints.archive import members, plain
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.cells import Cell, Scenario
from harness.model.outcomes import Stage
from harness.model.readings import Canary, Secret
from harness.oracle.ring import MAGIC
from harness.runtimes.contract import Checkpoint
from harness.stacks.node import Node
from harness.trial.source import Source
from harness.trial.trial import Trial

VARIABLE = "STILLFRAME_CANARY"
COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""First bytes of what gzip and zstd write (RFC 1952, RFC 8878)."""
LARGEST = 256 << 20
"""Bytes of a file that is searched at most."""
IN_MEMORY = 8
"""Records that carry the nonce in memory, at most; a ring of a file has many more."""
NOT_FILES = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "overlay", "nsfs", "bpf"})
"""File systems with no file of their own that stays; what is under an overlay is found below its layers."""
RANDOM = re.compile(r"[0-9a-f]{12,}|(?<=-)[0-9]+|(?<=[a-z])[0-9]{6,}")
"""The part of a file's name that is another one each time: an id, or a number."""

pytestmark = pytest.mark.scenario(Scenario.SECRETS)


class Secrets(Trial):
    """A live checkpoint of a source with canaries, its restore, and the removal of both."""

    def begin(self) -> Source:
        """Return a source of its own, which carries canaries."""
        if self.bench.source is not None:
            self.bench.drop_source()
        self.last = True
        variable, argument = secrets.token_hex(16), secrets.token_hex(16)
        self._begun_ns = self.bench.node.path("/").stat().st_ctime_ns
        self.bench.canaries = (f"{VARIABLE}={variable}", argument)
        try:
            source = super().begin()
        finally:
            self.bench.canaries = None
        self._words = {
            Canary.ENVIRONMENT: variable.encode(),
            Canary.ARGUMENT: argument.encode(),
            Canary.MEMORY: int(source.nonce, 16).to_bytes(8, "little"),
        }
        return source

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:  # noqa: ARG002
        """Look again after everything was removed that the checkpoint and the restore have made."""
        self._found: dict[str, Secret] = {}
        with contextlib.ExitStack() as own:
            super().experiment(source, own)
        with self.stages.at(Stage.AUDIT):
            left = {place for place, _ in self._look()} - self._known
        self.secrets = tuple(
            each.model_copy(update={"place": RANDOM.sub("*", place), "stays": place in left})
            for place, each in sorted(self._found.items())
        )

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Look before the checkpoint, for what the container itself has, and after it."""
        with self.stages.at(Stage.READ):
            self._known = {place for place, _ in self._look()}
        checkpoint = super().checkpoint(source, acquired)
        with self.stages.at(Stage.READ):
            self._found = {place: each for place, each in self._look() if place not in self._known}
        return checkpoint

    def _look(self) -> Iterator[tuple[str, Secret]]:
        """Search all files of the node that were made or changed since the node has begun."""
        node = self.bench.node
        for place in _files(node, self._begun_ns):
            path = node.entry(place)
            with contextlib.suppress(OSError, Unreadable):
                if held := tuple(_held(path, self._words)):
                    status = path.lstat()
                    yield (
                        place,
                        Secret(
                            place=place,
                            holds=held,
                            mode=f"{stat.S_IMODE(status.st_mode):04o}",
                            owner=f"{status.st_uid}:{status.st_gid}",
                            exposed=_exposed(node, place),
                            stays=False,
                        ),
                    )


def _files(node: Node, since_ns: int) -> Iterator[str]:
    """Give the paths of regular files in the node that were changed since then."""
    root = node.path("/")
    mounts = (line.split() for line in Path(f"/proc/{node.pid}/mountinfo").read_text(encoding="utf-8").splitlines())
    left_out = {words[4] for words in mounts if words[words.index("-") + 1] in NOT_FILES} - {"/"}
    for at, folders, files in os.walk(root):
        below = f"/{os.path.relpath(at, root)}/".replace("/./", "/")
        folders[:] = [name for name in folders if below + name not in left_out]
        for name in files:
            with contextlib.suppress(OSError):
                status = os.lstat(f"{at}/{name}")
                if stat.S_ISREG(status.st_mode) and status.st_ctime_ns >= since_ns and 0 < status.st_size <= LARGEST:
                    yield below + name


def _held(path: Path, words: Mapping[Canary, bytes]) -> list[Canary]:
    """Return the canaries that a file holds, also where it is compressed, or a compressed file in an archive is."""
    found = {kind for data in _contents(path) for kind in _held_by(data, words)}
    return [kind for kind in Canary if kind in found]


def _contents(path: Path) -> Iterator[bytes]:
    """Give what a file unpacks to; of an archive also what each compressed member unpacks to."""
    with tempfile.TemporaryDirectory() as aside:
        unpacked = plain(path, Path(aside, "plain"), Budget())
        data = unpacked.read_bytes()
        yield data
        with contextlib.suppress(Unreadable):
            for member in members(unpacked, Budget()):
                content = b"".join(member.chunks()) if member.info.isreg() else b""
                if content.startswith(COMPRESSED):
                    packed = Path(aside, "member")
                    packed.write_bytes(content)
                    yield plain(packed, Path(aside, "member.plain"), Budget()).read_bytes()
                    Path(aside, "member.plain").unlink()


def _held_by(data: bytes, words: Mapping[Canary, bytes]) -> Iterator[Canary]:
    for kind, word in words.items():
        if kind is not Canary.MEMORY:
            if word in data:
                yield kind
            continue
        if any(data.startswith(word, at + len(MAGIC) + 8) for at in _places(data, MAGIC)):
            yield kind
        if data.count(word) > IN_MEMORY:
            yield Canary.FILE


def _places(data: bytes, word: bytes) -> Iterator[int]:
    at = data.find(word)
    while at >= 0:
        yield at
        at = data.find(word, at + 1)


def _exposed(node: Node, place: str) -> bool:
    """Return whether anybody may read the file: all folders above it may be passed."""
    if not node.entry(place).lstat().st_mode & stat.S_IROTH:
        return False
    above = list(Path(place).parents)
    return all(node.path(str(each)).stat().st_mode & stat.S_IXOTH for each in above)


def test_secrets(cell: Cell, check: Callable[..., None]) -> None:
    """The checkpoint is consistent; where the canaries are is in the record."""
    check(cell, Secrets)
