"""Images as CRIU writes them, made by hand: pagemaps, pages and archives of tmpfs."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.oracle.ring import MAGIC, make_records, records_of

NONCE, RING, NOW, COUNTER = 0xC0FFEE, 64, 1_795_435_200_000_000_000, 1001
PAGE = 4096
BASE = 0x400000
"""Address of the first page."""
IN_PARENT, LAZY, PRESENT = 1, 2, 4
MAGICS = struct.pack("<II", 0x54564319, 0x56084025)


def memory(n: int = COUNTER, nonce: int = NONCE) -> bytes:
    """The page that the workload declares: magic, version, ring size, nonce, counter, and a record of each parity."""
    latest = [n, n - 1] if n % 2 == 0 else [n - 1, n]
    records = make_records(latest, [NOW if tick == n else NOW - 1000 for tick in latest], nonce)
    return (struct.pack("<16sIIQQ", MAGIC, 1, RING, nonce, n) + records.tobytes()).ljust(PAGE, b"\0")


def ring(newest: int = COUNTER, nonce: int = NONCE) -> bytes:
    return records_of(nonce, newest, RING, NOW + (newest - COUNTER) * 1000)


def arguments(*options: str) -> bytes:
    """A page of the stack with a command line: `--surface added=/data/added.ring` and so on."""
    return b"\0".join(word.encode() for word in ("/bin/ledger", *options)).ljust(PAGE, b"\0")


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(fields: Mapping[int, int]) -> bytes:
    """A message of numbers, behind its size."""
    body = b"".join(varint(number << 3) + varint(value) for number, value in fields.items())
    return struct.pack("<I", len(body)) + body


@dataclass(frozen=True)
class Entry:
    """Pages in a row, as a version of CRIU describes them."""

    page: int
    """Number of the first one, from `BASE`."""
    count: int
    flags: int = PRESENT
    fields: str = "4.2"

    def encoded(self, page_size: int) -> bytes:
        address = BASE + self.page * page_size
        if self.fields == "4.2":
            return message({1: address, 2: 0, 4: self.flags, 5: self.count})
        if self.fields == "4.1":
            return message({1: address, 2: self.count, 4: self.flags})
        return message({1: address, 2: self.count} | ({3: 1} if self.flags & IN_PARENT else {}))


def dump(
    images: Path, pages: bytes, entries: Iterable[Entry] | None = None, *, pid: int = 1, page_size: int = PAGE
) -> Path:
    """Write the memory of a process; by default all `pages` are present and follow each other."""
    images.mkdir(parents=True, exist_ok=True)
    entries = [Entry(0, len(pages) // page_size)] if entries is None else entries
    encoded = b"".join(entry.encoded(page_size) for entry in entries)
    (images / f"pagemap-{pid}.img").write_bytes(MAGICS + message({1: pid}) + encoded)
    (images / f"pages-{pid}.img").write_bytes(pages)
    return images


def tar(path: Path, members: Mapping[str, bytes | None], mode: str = "w") -> Path:
    """An archive; None stands for a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            made.addfile(member, io.BytesIO(content or b""))
    return path


def tmpfs(images: Path, members: Mapping[str, bytes | None], device: int = 73) -> Path:
    """An archive as CRIU has it made of a tmpfs."""
    return tar(images / f"tmpfs-dev-{device}.tar.gz.img", members, "w:gz")
