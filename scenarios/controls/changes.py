"""Changes of a checkpoint's files: breaking ones for mutants, and harmless ones for their neutral neighbours."""

from __future__ import annotations

import io
import os
import shutil
import stat
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.checkpoints.layouts import LOGS
from harness.oracle.lines import line_of
from harness.oracle.ring import MAGIC, RECORD, Records, make_records

PAGE = 4096
HEAD = 40
"""Bytes of the counter's page before its two records."""
USED = HEAD + 2 * RECORD.itemsize
"""Bytes of head and records in the counter's page; the process's description of itself follows."""
ADDED, OTHER, IMAGE = "upper/data/added.ring", "upper/data/other.ring", "upper/image/image.ring"
APPENDED, SENTINEL = "upper/data/appended", "upper/data/z-last"
"""Files of surfaces in the folder of a checkpoint."""
FEW = 8
"""Ticks or lines that a change removes or adds."""


@dataclass(frozen=True)
class Files:
    """The folders of a checkpoint and of a second one."""

    folder: Path
    second: Path | None

    @property
    def ring(self) -> Path:
        """The ring of the surface `added`."""
        return self.folder / ADDED

    @property
    def pages(self) -> Path:
        """CRIU's file of memory pages with the counter."""
        return next(path for path in sorted(self.folder.glob("images/pages-*.img")) if MAGIC in path.read_bytes())

    @property
    def tmpfs(self) -> Path:
        """CRIU's archive of the tmpfs with a surface."""
        return next(path for path in self.folder.glob("images/tmpfs-dev-*.img") if "tmpfs.ring" in _members(path))

    def of_second(self, path: Path) -> Path:
        """Return the same file of the second checkpoint."""
        if self.second is None:
            raise ValueError("there is no second checkpoint")
        return self.second / path.relative_to(self.folder)


Change = Callable[[Files], None]


# ---- memory


def _page(data: bytes) -> int:
    return data.index(MAGIC) // PAGE * PAGE


def _replace_page(files: Files, page: Callable[[bytes], bytes]) -> None:
    data = files.pages.read_bytes()
    at = _page(data)
    write(files.pages, data[:at] + page(data[at : at + PAGE]) + data[at + PAGE :])


def older_page(files: Files) -> None:
    """Replace the counter's page with that of the second checkpoint."""
    data = files.of_second(files.pages).read_bytes()
    _replace_page(files, lambda _: data[_page(data) :][:PAGE])


def zero_page(files: Files) -> None:
    """Fill the counter's page with zeros."""
    _replace_page(files, lambda _: bytes(PAGE))


def other_nonce(files: Files) -> None:
    """Change the nonce, and keep counter and records valid."""

    def change(page: bytes) -> bytes:
        nonce = int.from_bytes(page[24:32], "little") ^ 1
        slots = np.frombuffer(page[HEAD:USED], RECORD)
        records = make_records(slots["n"], slots["wall_ns"], nonce)
        return page[:24] + nonce.to_bytes(8, "little") + page[32:HEAD] + records.tobytes() + page[USED:]

    _replace_page(files, change)


def other_padding(files: Files) -> None:
    """Change the unused rest of the counter's page."""

    def change(page: bytes) -> bytes:
        _, size, _ = struct.unpack_from("<QQQ", page, USED)
        end = USED + 24 + size
        return page[:end] + bytes(byte ^ 0x55 for byte in page[end:])

    _replace_page(files, change)


def other_core(files: Files) -> None:
    """Replace the registers with those of the second checkpoint."""
    for core in files.folder.glob("images/core-*.img"):
        write(core, files.of_second(core).read_bytes())


def other_statistics(files: Files) -> None:
    """Replace the statistics with those of the second checkpoint."""
    path = files.folder / "work/stats-dump"
    write(path, files.of_second(path).read_bytes())


# ---- rings


def _members(archive: Path) -> list[str]:
    with tarfile.open(archive, "r:gz") as members:
        return [Path(name).name for name in members.getnames()]


def _newest(slots: Records) -> int:
    return int(slots["n"].max())


def _edit(path: Path, edit: Callable[[Records, int], None]) -> None:
    slots = np.frombuffer(bytearray(path.read_bytes()), RECORD)
    edit(slots, _newest(slots))
    write(path, slots.tobytes())


def rewind(slots: Records, ticks: int) -> None:
    """Replace the newest records with the older ones that were in their slots before."""
    for n in range(_newest(slots), _newest(slots) - ticks, -1):
        here = slots[n % len(slots)]
        older = n - len(slots)
        made = make_records([older], [here["wall_ns"] - 1], int(here["nonce"])) if older > 0 else np.zeros(1, RECORD)
        slots[n % len(slots)] = made[0]


def rewound(files: Files) -> None:
    """Remove the newest records."""
    _edit(files.ring, lambda slots, _: rewind(slots, FEW))


def other_rewound(files: Files) -> None:
    """Remove the newest records of the second workload."""
    _edit(files.folder / OTHER, lambda slots, _: rewind(slots, FEW))


def advanced(files: Files) -> None:
    """Add records from the future."""

    def edit(slots: Records, newest: int) -> None:
        last = slots[newest % len(slots)]
        ticks = np.arange(newest + 1, newest + 1 + FEW, dtype=np.uint64)
        made = make_records(ticks, last["wall_ns"] + (ticks - newest), int(last["nonce"]))
        slots[ticks % np.uint64(len(slots))] = made

    _edit(files.ring, edit)


def torn(files: Files) -> None:
    """Mix a record with the previous one."""

    def edit(slots: Records, newest: int) -> None:
        at, before = (newest - FEW) % len(slots), (newest - FEW - 1) % len(slots)
        slots[at]["n"], slots[at]["wall_ns"] = slots[before]["n"], slots[before]["wall_ns"]

    _edit(files.ring, edit)


def lost(files: Files) -> None:
    """Remove one record."""

    def edit(slots: Records, newest: int) -> None:
        slots[(newest - FEW) % len(slots)] = np.zeros((), RECORD)

    _edit(files.ring, edit)


def foreign(files: Files) -> None:
    """Replace a record with a complete record of another workload."""

    def edit(slots: Records, newest: int) -> None:
        here = slots[(newest - FEW) % len(slots)]
        made = make_records([here["n"]], [here["wall_ns"]], int(here["nonce"]) ^ 1)
        slots[(newest - FEW) % len(slots)] = made[0]

    _edit(files.ring, edit)


def backwards(files: Files) -> None:
    """Give a record a later time than the next one."""

    def edit(slots: Records, newest: int) -> None:
        here, following = slots[(newest - FEW) % len(slots)], slots[(newest - FEW + 1) % len(slots)]
        made = make_records([here["n"]], [following["wall_ns"] + 1], int(here["nonce"]))
        slots[(newest - FEW) % len(slots)] = made[0]

    _edit(files.ring, edit)


def out_of_order(files: Files) -> None:
    """Remove from the first surface the newest tick of the second, which is written later."""
    with tarfile.open(files.tmpfs, "r:gz") as members:
        (ring,) = (member for member in members if member.name.endswith("tmpfs.ring"))
        content = members.extractfile(ring)
        if content is None:
            raise ValueError(f"{ring.name} is not a file")
        second = _newest(np.frombuffer(content.read(), RECORD))
    _edit(files.ring, lambda slots, newest: rewind(slots, newest - second + 1))


def reordered(files: Files) -> None:
    """Write the archive of the tmpfs with its members in reverse order."""
    made = io.BytesIO()
    with tarfile.open(files.tmpfs, "r:gz") as members, tarfile.open(fileobj=made, mode="w:gz") as turned:
        for member in reversed(members.getmembers()):
            content = members.extractfile(member) if member.isreg() else None
            if member.issparse():
                member.type, member.sparse = tarfile.REGTYPE, None
            turned.addfile(member, content)
    write(files.tmpfs, made.getvalue())


def mixed(files: Files) -> None:
    """Replace a surface with that of the second checkpoint."""
    write(files.ring, files.of_second(files.ring).read_bytes())


# ---- layers


def copy_of(place: str) -> Change:
    """Return what replaces a file of the checkpoint with a copy that has another inode and another time."""

    def change(files: Files) -> None:
        path = files.folder / place
        write(path, path.read_bytes(), times=(1, 1))

    return change


def surface_missing(files: Files) -> None:
    """Remove the surface's file."""
    files.ring.unlink()


def unrelated_file(files: Files) -> None:
    """Add a file that nobody opened."""
    (files.folder / "upper/data/unrelated").write_bytes(b"unrelated\n")


def image_file_missing(files: Files) -> None:
    """Remove the modified file of the image."""
    (files.folder / IMAGE).unlink()


def sentinel_left_out(files: Files) -> None:
    """Remove a file that was written once."""
    (files.folder / SENTINEL).unlink()


def _edit_appended(files: Files, edit: Callable[[bytes], bytes]) -> None:
    path = files.folder / APPENDED
    write(path, edit(path.read_bytes()), times=(1, 1))


def appended_cut_short(files: Files) -> None:
    """Remove the last records."""
    _edit_appended(files, lambda data: data[: -FEW * RECORD.itemsize])


def appended_repeated(files: Files) -> None:
    """Append the last records once more."""
    _edit_appended(files, lambda data: data + data[-FEW * RECORD.itemsize :])


def deleted_file_back(files: Files) -> None:
    """Remove the mark of deletion."""
    (files.folder / "upper/image/deleted").unlink()


def deleted_again(files: Files) -> None:
    """Make the mark of deletion again."""
    path = files.folder / "upper/image/deleted"
    path.unlink()
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _replaced(files: Files, source: Path) -> None:
    for part in ("images", "upper"):
        shutil.rmtree(files.folder / part)
        shutil.copytree(source / part, files.folder / part)


def whole_second(files: Files) -> None:
    """Replace the whole checkpoint with the second one."""
    if files.second is None:
        raise ValueError("there is no second checkpoint")
    _replaced(files, files.second)


def whole_copy(files: Files) -> None:
    """Replace the whole checkpoint with a copy of itself."""
    kept = files.folder.with_name(f"{files.folder.name}.copy")
    shutil.copytree(files.folder, kept)
    _replaced(files, kept)
    shutil.rmtree(kept)


def pages_hidden(files: Files) -> None:
    """Remove the memory pages."""
    files.pages.unlink()


def statistics_hidden(files: Files) -> None:
    """Remove CRIU's statistics."""
    (files.folder / "work/stats-dump").unlink()


def as_it_is(_: Files) -> None:
    """Change nothing: the checkpoint already has what must be noticed."""


def write(path: Path, data: bytes, *, times: tuple[int, int] | None = None) -> None:
    """Replace a file with a new one that has the same owner and mode."""
    status = path.stat()
    path.unlink()
    path.write_bytes(data)
    os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode))
    if times:
        os.utime(path, times)


# ---- the engine's log


def _edit_log(files: Files, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    """Write the exported archive again, with an edited log that has another time."""
    path = files.folder / "checkpoint.tar"
    made = path.with_name("made.tar")
    with tarfile.open(path) as archive, tarfile.open(made, "w", format=tarfile.PAX_FORMAT) as out:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content and member.name == LOGS[0]:
                data = b"".join(edit(content.read().splitlines(keepends=True)))
                member.size, member.mtime, content = len(data), int(member.mtime) + 1, io.BytesIO(data)
            out.addfile(member, content)
    made.rename(path)


def log_cut_short(files: Files) -> None:
    """Remove the last lines."""
    _edit_log(files, lambda lines: lines[:-FEW])


def log_repeated(files: Files) -> None:
    """Repeat the last lines."""
    _edit_log(files, lambda lines: [*lines, *lines[-FEW:]])


def log_advanced(files: Files) -> None:
    """Add lines from the future."""

    def edit(lines: list[bytes]) -> list[bytes]:
        begin = lines[-1].rindex(b"stillframe ")
        before, line = lines[-1][:begin], lines[-1][begin:]
        _, nonce, n, _ = line.split()
        return [*lines, *(before + line_of(int(nonce, 16), int(n) + 1 + tick, len(line)) for tick in range(FEW))]

    _edit_log(files, edit)


def log_copied(files: Files) -> None:
    """Keep the lines."""
    _edit_log(files, lambda lines: lines)
