"""Images as CRIU writes them, made by hand: pagemaps, pages and archives of tmpfs."""

from __future__ import annotations

import io
import struct
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.checkpoints.criu import image
from harness.checkpoints.untrusted import Budget
from harness.oracle.ring import MAGIC, make_records, records_of
from tests import real_images

NONCE, RING, NOW, COUNTER = 0xC0FFEE, 64, 1_795_435_200_000_000_000, 1001
PAGE = 4096
BASE = 0x400000
"""Address of the first page."""
IN_PARENT, LAZY, PRESENT = 1, 2, 4
MAGICS = struct.pack("<II", 0x54564319, 0x56084025)


Surface = tuple[str, str, str]
"""Kind, name and path, as a process tells them."""
LEDGER: tuple[Surface, ...] = (("ring", "added", "/data/added.ring"), ("ring", "tmpfs", "/scratch/tmpfs.ring"))


def memory(n: int = COUNTER, nonce: int = NONCE, surfaces: tuple[Surface, ...] = LEDGER) -> bytes:
    """The page that the workload declares: magic, version, ring size, nonce, counter, records and its description."""
    return (counter(n, nonce, version=2) + description(surfaces)).ljust(PAGE, b"\0")


def old_memory(n: int = COUNTER, nonce: int = NONCE) -> bytes:
    """The same of the version before, which did not describe itself."""
    return counter(n, nonce, version=1).ljust(PAGE, b"\0")


def counter(n: int, nonce: int, version: int) -> bytes:
    latest = [n, n - 1] if n % 2 == 0 else [n - 1, n]
    records = make_records(latest, [NOW if tick == n else NOW - 1000 for tick in latest], nonce)
    return struct.pack("<16sIIQQ", MAGIC, version, RING, nonce, n) + records.tobytes()


def description(surfaces: tuple[Surface, ...]) -> bytes:
    """Period, size and check, and four texts for each surface; rings are open one after the other from 3 on."""
    rings = [surface for surface in surfaces if surface[0] == "ring"]
    words = [(*each, str(3 + rings.index(each)) if each in rings else "") for each in surfaces]
    told = b"".join(word.encode() + b"\0" for surface in words for word in surface)
    check = 0
    for byte in told:
        check = mixed(check ^ byte)
    return struct.pack("<QQQ", 100_000, len(told), check) + told


def mixed(x: int) -> int:
    """What `mix64` of the ledger makes of a number."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % (1 << 64)
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % (1 << 64)
    return x ^ (x >> 31)


def ring(newest: int = COUNTER, nonce: int = NONCE) -> bytes:
    return records_of(nonce, newest, RING, NOW + (newest - COUNTER) * 1000)


def arguments(*options: str) -> bytes:
    """A page that begins with a command line as a ledger of version 1 leaves it, with a 0 byte for each `=`."""
    words = (word.replace("=", "\0", 1) for word in ("/bin/ledger", *options))
    return b"\0".join(word.encode() for word in words).ljust(PAGE, b"\0")


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
    images: Path,
    pages: bytes,
    entries: Iterable[Entry] | None = None,
    *,
    pid: int = 1,
    page_size: int = PAGE,
    mounts: Iterable[Mapping[str, object]] = (),
) -> Path:
    """Write the images of a process; by default all `pages` are present and follow each other.

    It adds to the processes that are there. With `mounts` they have a mount namespace.
    """
    images.mkdir(parents=True, exist_ok=True)
    entries = [Entry(0, len(pages) // page_size)] if entries is None else entries
    encoded = b"".join(entry.encoded(page_size) for entry in entries)
    (images / f"pagemap-{pid}.img").write_bytes(MAGICS + message({1: pid}) + encoded)
    (images / f"pages-{pid}.img").write_bytes(pages)
    outside = {"mnt_ns_id": 1}
    write(images, "inventory.img", image.INVENTORY, {"img_version": 2, "fdinfo_per_id": True, "root_ids": outside})
    core = {"mtype": 1, "tc": {"task_state": 1, "exit_code": 0, "comm": b"ledger"}}
    write(images, f"core-{pid}.img", image.CORE, core)
    own = 13 if mounts or (images / "mountpoints-13.img").exists() else 1
    write(images, f"ids-{pid}.img", image.IDS, {"vm_id": 1, "files_id": 1, "mnt_ns_id": own})
    write(images, f"fs-{pid}.img", image.FOLDERS, {"cwd_id": 1, "root_id": 2, "umask": 18})
    for name, kind in (("fdinfo-1.img", image.DESCRIPTORS), ("files.img", image.FILES)):
        if not (images / name).exists():
            write(images, name, kind)
    at = BASE + len(pages) - page_size
    write(images, f"mm-{pid}.img", image.MEMORY, {"mm_arg_start": at, "mm_arg_end": at + page_size})
    pids = sorted(int(path.name[5:-4]) for path in images.glob("core-*.img"))
    tree = [{"pid": each, "ppid": pids[0] if each != pids[0] else 0, "threads": [each]} for each in pids]
    write(images, "pstree.img", image.PROCESSES, *tree)
    if mounts:
        write(images, "mountpoints-13.img", image.MOUNTS, *mounts)
    return images


def write(images: Path, name: str, kind: image.Kind, *messages: Mapping[str, object]) -> None:
    """An image of messages, each given by its fields; `AssertionError` for one that no image of CRIU's has."""
    made = [kind.messages[min(number, len(kind.messages) - 1)](**each) for number, each in enumerate(messages)]
    for each in made:
        strange = fields(each) - real_fields()[kind.what] - DOCUMENTED.get(kind.what, frozenset())
        assert not strange, f"no real {kind.what} has {sorted(strange)}"
    images.mkdir(parents=True, exist_ok=True)
    (images / name).write_bytes(image.encoded(kind, made))


REAL = ("still-ledger", "crio-runc-ledger", "ledger-2", *real_images.PROCESSES)
DOCUMENTED: dict[str, frozenset[str]] = {
    "table of files without a name": frozenset({"orig_id", "remap_id", "remap_type"}),
    "network namespace": frozenset({"ext_key"}),  # a network that the runtime brings along
    "table of control groups": frozenset(
        {"controllers.dirs", "controllers.dirs.dir_name"}
    ),  # without manage-cgroups=ignore
}
"""Fields that none of the real checkpoints here has, by kind of image; all of them are in CRIU's images/*.proto."""


@cache
def real_fields() -> dict[str, frozenset[str]]:
    """Fields that real images have, with those of messages in them, by kind of image."""
    found: dict[str, set[str]] = {kind.what: set() for kind, _ in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(REAL):
            images = real_images.unpacked(name, Path(folder, str(number)))
            for kind, pattern in KINDS:
                for path in images.glob(pattern):
                    for each in image.read(path, kind, Budget()):
                        found[kind.what] |= fields(each)
    return {kind: frozenset(names) for kind, names in found.items()}


KINDS = (
    (image.INVENTORY, "inventory.img"),
    (image.CORE, "core-*.img"),
    (image.IDS, "ids-*.img"),
    (image.MEMORY, "mm-*.img"),
    (image.PROCESSES, "pstree.img"),
    (image.MOUNTS, "mountpoints-*.img"),
    (image.PAGEMAP, "pagemap-*.img"),
    (image.FILES, "files.img"),
    (image.DESCRIPTORS, "fdinfo-*.img"),
    (image.FOLDERS, "fs-*.img"),
    (image.REMAPS, "remap-fpath.img"),
    (image.CGROUPS, "cgroup.img"),
    (image.NETWORK, "netns-*.img"),
)


def fields(message: Any, above: str = "") -> set[str]:
    """Names of the fields that a message has, with those of messages in it."""
    found = set()
    for field, value in message.ListFields():
        found.add(f"{above}{field.name}")
        if field.message_type:
            for each in value if field.is_repeated else [value]:
                found |= fields(each, f"{above}{field.name}.")
    return found


def mount(number: int, mountpoint: str, parent: int = 1, **more: object) -> dict[str, object]:
    """An entry of a table of mounts: by default a tmpfs of the container's own, whose device has the same number."""
    plain = {"fstype": 5, "root_dev": number, "root": "/", "source": "tmpfs", "options": "", "flags": 0}
    return {"mnt_id": number, "parent_mnt_id": parent, "mountpoint": mountpoint, **plain, **more}


ROOT = mount(1, "/", parent=0, fstype=17, source="overlay")
MOUNTS = (ROOT, mount(73, "/scratch"))
"""Of a container with a tmpfs."""


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
