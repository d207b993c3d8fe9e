r"""Standard output in the log that an engine keeps of it: which lines of a process are there, once and in their order.

The line is that of `workloads/ledger/surfaces.h`: `stillframe NONCE N CHECK`. Around it each engine writes its own:

    TIME stdout F TEXT              Podman's k8s-file, CRI-O and containerd; of a TEXT that goes on the tag is P
    {"log":"TEXT\n","stream":...}   Docker's json-file; a TEXT that goes on does not end with a line end
    TEXT                            a file that gets the output as it is, as that of `ctr run --log-uri`

Output of a terminal ends its lines with CR LF. Lines of others are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from harness.model.readings import SurfaceReading
from harness.oracle.ring import mix64

PIPE = 64 << 10
"""Bytes between a process and whoever reads its output: a pipe's capacity (pipe(7)); a terminal holds less."""
MONITOR = 64 << 10
"""Bytes that the reader may hold before it writes them to the log; conmon takes 8 KiB at a time, containerd 32 KiB."""
MOST_LINE = 256 << 10
"""Bytes of a line of a log that are kept; Docker's longest entry is 16 KiB of text, each byte of it up to 6 letters."""

_OURS = b"stillframe"
_LINE = re.compile(rb"stillframe ([0-9a-f]{16}) ([0-9]{1,20}) ([0-9a-f]{16})\Z")
_KUBERNETES = re.compile(rb"[0-9T:.Z+-]{20,40} (stdout|stderr) ([PF])[^ ]* ")
_SHORTEST = len("stillframe 0123456789abcdef 1 0123456789abcdef\n")


def line_of(nonce: int, n: int) -> bytes:
    """The line of tick `n`."""
    return f"stillframe {nonce:016x} {n} {mix64(mix64(n) ^ nonce):016x}\n".encode()


def lag(every: int = 1) -> int:
    """Ticks by which a log may be behind memory at one instant, where there is a line at every tick of so many.

    The lines on their way through pipe and monitor are in neither.
    """
    return ((PIPE + MONITOR) // _SHORTEST + 1) * every


def read_lines(log: Iterable[bytes], *, surface: str, nonce: int, every: int = 1) -> SurfaceReading:
    """Judge the bytes of a log, taken at the moment at which memory was.

    It may begin anywhere, since engines rotate logs. A line that is cut off at its very end is not there yet.
    """
    reader = LineReader(nonce, every)
    for data in log:
        reader.feed(data)
    return reader.reading(surface)


class LineReader:
    """Reads a log as it grows, in pieces of any size."""

    def __init__(self, nonce: int, every: int = 1) -> None:
        """Look for the lines of a process that has this nonce and prints at every tick of so many."""
        self.first: int | None = None
        """The tick of the first of its lines."""
        self.newest: int | None = None
        self.lost: tuple[int, int] | None = None
        """First and last of the first lines that are missing between two others."""
        self.again: tuple[int, int] | None = None
        """First and last of the first lines that it held before."""
        self._nonce = nonce
        self._every = every
        self._counts = dict.fromkeys(("torn", "foreign", "holes", "repeated"), 0)
        self._rest = b""
        """A line of the log without its end."""
        self._text = b""
        """A line of the process that goes on in the next line of the log."""
        self._before = 0

    def reading(self, surface: str) -> SurfaceReading:
        """What the log holds, as far as it was read. When a line was printed, it does not tell."""
        return SurfaceReading(
            surface=surface, newest=self.newest, newest_wall_ns=None, lag=lag(self._every), **self._counts
        )

    def feed(self, data: bytes) -> None:
        """Read what comes next."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = self._rest + lines[0]
            self._rest = b""
        self._rest = (self._rest + rest)[:MOST_LINE]
        for line in lines:
            for text in self._texts(line[:MOST_LINE]):
                self._take(text)

    def _texts(self, line: bytes) -> Iterator[bytes]:
        """The line of the process that ends with a line of the log, if one does."""
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
            if n >= 1 << 64 or check != mix64(mix64(n) ^ nonce):
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
    """What a line of a log has of standard output, and whether a line of the process ends with it."""
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
