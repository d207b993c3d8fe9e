r"""The engine's log of standard output: checks that each line of a process is there, once and in order.

The format of a line is `stillframe NONCE N CHECK....`, from `workloads/ledger/surfaces.h`. Each engine wraps it in its
way:

    TIME stdout F TEXT              Podman's k8s-file, CRI-O and containerd; the tag is P if the line goes on
    {"log":"TEXT\n","stream":...}   Docker's json-file; if the line goes on, TEXT has no newline at its end
    TEXT                            a file with the plain output, for example of `ctr run --log-uri`

Lines from a terminal end with CR LF. Lines of other programs are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import numpy as np

from harness.model.readings import SurfaceReading
from harness.oracle.ring import mix64, mixed

PIPE = 64 << 10
"""Bytes between a process and the reader of its output: the capacity of a pipe (pipe(7)); a terminal holds less."""
MONITOR = 64 << 10
"""Bytes that the reader may hold before it writes the log; conmon reads 8 KiB at a time, containerd 32 KiB."""
FEW_LINES = 16
"""Lines that are as well taken one by one."""
MOST_LINE = 256 << 10
"""Maximum length of a log line in bytes; Docker's longest entry has 16 KiB of text, up to 6 characters per byte."""

_OURS = b"stillframe"
_LINE = re.compile(rb"stillframe ([0-9a-f]{16}) ([0-9]{1,20}) ([0-9a-f]{16})(\.*)\Z")
_WHOLE = rb"(stillframe %016x ([0-9]{1,19}) ([0-9a-f]{16})\.*)"
"""A line of the process with this nonce, for `_AS_THEY_ARE`."""
_AS_THEY_ARE = (
    rb"^(?:[0-9T:.Z+-]{20,40} stdout F[^ ]* )?%s\r?\n",
    rb'^\{"log":"%s(?:\\r)?\\n","stream":"stdout","time":"[^"\\]*"\}\n',
)
"""Lines of a log that need no closer look."""
_KUBERNETES = re.compile(rb"[0-9T:.Z+-]{20,40} (stdout|stderr) ([PF])[^ ]* ")
LINE = 256
"""Bytes of a line with its end: dots fill it up."""
UNFILLED = len("stillframe 0123456789abcdef 1 0123456789abcdef\n")
"""Least bytes of a line without dots."""
FILLED_SINCE = 3
"""First version of the workload that writes dots."""


def line_of(nonce: int, n: int, length: int = LINE) -> bytes:
    """Return the line of tick `n`."""
    said = f"stillframe {nonce:016x} {n} {mix64(mix64(n) ^ nonce):016x}"
    return said.ljust(length - 1, ".").encode() + b"\n"


def lag(every: int = 1, length: int = LINE) -> int:
    """Return by how many ticks a log may be behind memory at one instant; `every`: ticks per line.

    Lines on their way through the pipe and the monitor are neither in memory nor in the log.
    """
    return ((PIPE + MONITOR) // length + 1) * every


def read_lines(log: Iterable[bytes], *, surface: str, nonce: int, every: int = 1, length: int = LINE) -> SurfaceReading:
    """Judge the bytes of a log that was captured at the same moment as memory.

    The log may begin anywhere, since engines rotate logs. A last line that is cut off does not count.
    """
    reader = LineReader(nonce, every, length)
    for data in log:
        reader.feed(data)
    return reader.reading(surface)


class LineReader:
    """A reader of a growing log, in pieces of any size."""

    def __init__(self, nonce: int, every: int = 1, length: int = LINE) -> None:
        """Look for the lines of a process with this nonce; `every`: ticks per line, `length`: least bytes of a line."""
        self.first: int | None = None
        """Tick of its first line."""
        self.newest: int | None = None
        self.lost: tuple[int, int] | None = None
        """First and last tick of the first gap between two lines."""
        self.again: tuple[int, int] | None = None
        """First and last tick of the first repetition."""
        whole = _WHOLE % nonce
        self._as_they_are = tuple(re.compile(each % whole, re.MULTILINE) for each in _AS_THEY_ARE)
        self._nonce = nonce
        self._every = every
        self._length = length
        self._counts = dict.fromkeys(("torn", "foreign", "holes", "repeated"), 0)
        self._rest = b""
        """Beginning of a line of the log that has no end yet."""
        self._text = b""
        """Beginning of a line of the process that goes on in the next line of the log."""
        self._before = 0

    def reading(self, surface: str) -> SurfaceReading:
        """Return what the log holds so far; a log does not give the times of its lines."""
        return SurfaceReading(
            surface=surface,
            newest=self.newest,
            newest_wall_ns=None,
            lag=lag(self._every, self._length),
            **self._counts,
        )

    def feed(self, data: bytes) -> None:
        """Read the next piece."""
        end = data.rfind(b"\n") + 1
        if not self._text and self._follow(self._rest + data[:end]):
            self._rest = data[end:][:MOST_LINE]
            return
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = self._rest + lines[0]
            self._rest = b""
        self._rest = (self._rest + rest)[:MOST_LINE]
        for line in lines:
            for text in self._texts(line[:MOST_LINE]):
                self._take(text)

    def _follow(self, data: bytes) -> bool:
        """Take whole lines at once, if each of them is sound and follows the one before it; else take none.

        They are millions: one by one they would take several times as long as the trial.
        """
        found = self._as_they_are[data.startswith(b"{")].findall(data)
        if len(found) < FEW_LINES or len(found) != data.count(b"\n"):
            return False
        n = np.array([int(each) for _, each, _ in found], np.uint64)
        checks = np.array([int(each, 16) for _, _, each in found], np.uint64)
        steps = np.diff(n, prepend=n[:1] - np.uint64(self._every) if self.newest is None else np.uint64(self.newest))
        sound = (
            all(len(text) == self._length - 1 for text, _, _ in found)
            and bool((steps == np.uint64(self._every)).all())
            and bool((checks == mixed(mixed(n) ^ np.uint64(self._nonce))).all())
        )
        if sound:
            self.first = int(n[0]) if self.newest is None else self.first
            self.newest = self._before = int(n[-1])
        return sound

    def _texts(self, line: bytes) -> Iterator[bytes]:
        """Yield the line of the process that ends with this line of the log, if any."""
        text, ends = _unwrapped(line)
        if text is None:
            return
        text = (self._text + text)[:MOST_LINE]
        self._text = b"" if ends else text
        if ends:
            yield text.rstrip(b"\r")

    def _take(self, text: bytes) -> None:
        found = _LINE.search(text)
        others = text[: found.start()] if found else text
        if _OURS in others:
            self._counts["torn"] += 1
        if found:
            nonce, n, check = int(found[1], 16), int(found[2]), int(found[3], 16)
            dots = max(0, self._length - 1 - (found.start(4) - found.start()))
            if n >= 1 << 64 or check != mix64(mix64(n) ^ nonce) or len(found[4]) != dots:
                self._counts["torn"] += 1
            elif nonce != self._nonce:
                self._counts["foreign"] += 1
            else:
                self._note(n)

    def _note(self, n: int) -> None:
        if self.newest is None:
            self.first = n
        elif n > self.newest:
            missing = (n - self.newest - 1) // self._every
            self._counts["holes"] += missing
            if missing:
                self.lost = self.lost or (self.newest + self._every, n - self._every)
        else:
            self._counts["repeated"] += 1
            first, last = self.again or (n, n - self._every)
            if self.again is None or (self._before, n) == (last, last + self._every):
                self.again = (first, n)
        self.newest = max(n, self.newest or 0)
        self._before = n


def _unwrapped(line: bytes) -> tuple[bytes | None, bool]:
    """Return the standard output in a line of a log, and whether a line of the process ends there."""
    if told := _KUBERNETES.match(line):
        return (line[told.end() :], told[2] == b"F") if told[1] == b"stdout" else (None, False)
    if line.startswith(b'{"'):
        try:
            said = json.loads(line)
            if said["stream"] != "stdout":
                return None, False
            text = said["log"].encode(errors="replace")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return line, True
        return text.removesuffix(b"\n"), text.endswith(b"\n")
    return line, True
