"""A translation from beginning to end: unpack, bridge the images, rewrite the form, pack. A result is never partial."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from harness.checkpoints import archive, completeness
from harness.checkpoints.archive import CHUNK, PARENT
from harness.checkpoints.criu.open_files import files_outside
from harness.checkpoints.documents import CONFIG, IMAGES, SPEC, document, there
from harness.checkpoints.find import Found, choose, find, only
from harness.checkpoints.layouts import INVENTORY, ContainerdImage, Criu, Opened
from harness.checkpoints.sources import Folder
from harness.checkpoints.translation import bridges
from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.cri import Containerd, CriO
from harness.checkpoints.translation.form import KEPT, Form, Help, binds
from harness.checkpoints.translation.podman import Podman
from harness.checkpoints.untrusted import Budget, Unreadable, beneath, everything_below, open_regular, told_of
from harness.model.errors import EnvironmentUnfit, Untranslatable, UsageError

FORMS: tuple[Form, ...] = (Containerd(), CriO(), Podman())
"""All forms, in the order of trying."""
BIG = 256 << 20
"""Size in bytes from which on the progress is reported."""
MOST_LISTED = 5

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """The changes that the user wants."""

    to: str = ""
    """Name of the wanted form."""
    runtime: Runtime | None = None
    criu: OldCriu | None = None
    template: Path | None = None
    image: str = ""


@dataclass(frozen=True)
class Translation:
    """The result of a translation, in sentences."""

    was: str
    """Short description of the source."""
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Notes for the restore."""


def translate(
    source: Path,
    out: Path,
    order: Order,
    *,
    container: str = "",
    force: bool = False,
    budget: Budget | None = None,
    progress: Progress = lambda _: None,
) -> Translation:
    """Translate the checkpoint in `source` by the order into `out`: an archive, or a folder for a folder of images.

    `container` chooses one of several checkpoints. `force` replaces an existing `out`, unless it is a folder.
    Raise `Untranslatable` or `Unreadable` with the reason; then `out` is not written.
    """
    if not (order.to or order.runtime or order.criu):
        raise UsageError("there is nothing to translate", remedy="Give --to, --runtime or --criu.")
    if os.path.lexists(out) and (not force or out.is_dir()):
        raise UsageError(
            f"{out} already exists", remedy="Choose another name" + ("." if out.is_dir() else ", or add --force.")
        )
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: there is no folder {out.absolute().parent}", remedy="Create it, or choose another.")
    try:
        with tempfile.TemporaryDirectory(prefix="translated-") as own:
            budget = budget or Budget()
            tell = progress if source.is_file() and source.stat().st_size >= BIG else _say_nothing
            tell("reading it")
            found = only(choose(find(source, Path(own, "found"), budget), container))
            opened = found.open(pages=False)
            _see_to(found, opened, budget)
            work = Work(Path(own), budget, tell)
            if isinstance(found.source, Folder) and found.layout == Criu.name:
                return _folder(found, out, order, work)
            with _appearing(out, force=force) as file:
                return _archive(found, file, order, work)
    except (Unreadable, Untranslatable) as error:
        raise told_of(source, "translated", error) from error
    except OSError as error:
        raise EnvironmentUnfit(
            f"{source} cannot be translated here: {error.strerror or error}",
            remedy="You need free space and write access in the folder that TMPDIR names, and in that of the result.",
        ) from error


def _see_to(found: Found, opened: Opened, budget: Budget) -> None:
    """Raise an error for a checkpoint that is incomplete, unknown, or not translatable."""
    if opened.images is None or found.layout == ContainerdImage.name:
        raise Untranslatable(
            f"{found.what} cannot be translated", remedy="Only engines' archives and CRIU's images can."
        )
    completeness.check(opened.images, opened.sizes, budget, followed=opened.within)


def _say_nothing(_: str) -> None:
    """Report no progress, since the source is small."""


@dataclass(frozen=True)
class Work:
    """The working folder, budget and progress of a translation."""

    own: Path
    """Folder for temporary files."""
    budget: Budget
    tell: Progress


def _archive(checkpoint: Found, out: BinaryIO, order: Order, work: Work) -> Translation:
    work.tell("unpacking it")
    found = _gathered(checkpoint, work)
    form = next((each for each in FORMS if each.fits(found)), None)
    changes = []
    for images in sorted(path.parent for path in everything_below(found) if path.name == INVENTORY):
        changes += _bridged(images, found if form else None, order, work.budget)
    if form and order.runtime:
        changes += form.with_runtime(found, order.runtime)
    notes: list[str] = []
    if order.to and (form is None or form.name != order.to):
        work.tell("rewriting it")
        found, said, notes = _rewritten(found, form, order, work)
        changes += said
    work.tell("packing it")
    _pack(found, out)
    return Translation(form.what if form else "an archive of CRIU's images", changes, notes)


def _gathered(checkpoint: Found, work: Work) -> Path:
    """Copy or unpack the files of a checkpoint into the working folder; return the folder."""
    source, root = checkpoint.source, checkpoint.root
    if checkpoint.layout == Criu.name:
        images = {name for name in source.files if name.endswith(".img")}
        folders = {name.rpartition("/")[0] for name in images}
        others = sorted(name for name in source.files if name.rpartition("/")[0] not in folders)
        if others:
            raise Untranslatable(
                f"it holds more than CRIU's images: {others[0][:200]}; such files would lose their attributes",
                remedy="Translate the folder of images alone.",
            )
        root = ""
    own = source.fetch(lambda name: name.startswith(f"{root}/") or not root)
    if isinstance(source, Folder):
        copy = work.own / "copy"
        for name in source.under(root):
            _copy(beneath(own / root, name), copy / name, work.budget)
        return copy
    return own / root


def _folder(checkpoint: Found, out: Path, order: Order, work: Work) -> Translation:
    """Translate a folder of images into a new folder."""
    source = checkpoint.source.path / checkpoint.root
    if order.to:
        raise UsageError(f"--to {order.to}: {source} is a folder of images", remedy="Name the archive of an engine.")
    if os.path.lexists(out):
        raise UsageError(f"{out} already exists", remedy="Choose another name for the new folder.")
    if (source / PARENT).is_symlink():
        raise Unreadable(
            "its images need an earlier level of memory, which the result would not contain",
            remedy="Take a checkpoint without earlier rounds (pre-dumps).",
        )
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name[:100]}-", dir=out.parent))
    try:
        for name in sorted(os.listdir(source)):  # noqa: PTH208  # only the names are needed
            if not os.path.isdir(source / name):  # noqa: PTH112  # accepts a name that is too long
                _copy(source / name, beside / name, work.budget)
        changes = _bridged(beside, None, order, work.budget)
        beside.rename(out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Translation("a folder of CRIU's images", changes)


def _copy(source: Path, to: Path, budget: Budget) -> None:
    budget.part()
    to.parent.mkdir(parents=True, exist_ok=True)
    with open_regular(source) as descriptor, to.open("xb") as copy:
        status = os.fstat(descriptor)
        budget.keep(status.st_size)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            shutil.copyfileobj(file, copy, CHUNK)
    os.utime(to, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _bridged(images: Path, found: Path | None, order: Order, budget: Budget) -> list[str]:
    """Bridge images in place and return the changes; `found`: the engine's unpacked archive around them, if any."""
    own = binds(document(found / SPEC)) if found else ()
    changes = bridges.to_runtime(images, order.runtime, budget, binds=own) if order.runtime else []
    return changes + (bridges.to_criu(images, order.criu, budget) if order.criu else [])


def _rewritten(found: Path, form: Form | None, order: Order, work: Work) -> tuple[Path, list[str], list[str]]:
    """Rewrite the form; return the new folder, the changes, and the notes for the restore."""
    target = next(each for each in FORMS if each.name == order.to)
    if form is None:
        raise Untranslatable(f"it is not an engine's archive, so it lacks the description that {target.name} needs")
    room, into = work.own / "room", work.own / "rewritten"
    room.mkdir()
    into.mkdir()
    content = form.read(found, room, work.budget)
    if content.tied:
        raise Untranslatable(
            f"{' and '.join(content.tied)} would be lost: an archive of {target.name} has no place for it",
            remedy="Keep such data in a folder of the host, and mount it into the container.",
        )
    used = _used_outside(found / IMAGES, target, work.budget)
    notes = target.write(content, into, Help(_template(order, target, work), order.image), work.budget) + used
    changes = [f"{form.name} -> {target.name}: configuration, specification and the changes to the image"]
    if content.diff.deleted:
        number = len(content.diff.deleted)
        changes.append(f"{number} deletion{'' if number == 1 else 's'} in the form of {target.name}")
    for name in (IMAGES, *KEPT):
        if there(found, name):
            (found / name).rename(into / name)
    changes += bridges.to_engine(into / IMAGES, work.budget)
    left = sorted({path.name for path in found.iterdir()} - form.known)
    if left:
        changes.append(f"left out, since {target.name} does not know it: {', '.join(left)[:400]}")
    return into, changes, notes


def _used_outside(images: Path, target: Form, budget: Budget) -> list[str]:
    """Tell what the restoring side must have on its mounts; decline what is on a mount that the target makes anew."""
    told: dict[str, list[str]] = {}
    for each in files_outside(images, budget):
        size = "" if each.size is None else f" ({each.size:,} bytes)"
        told.setdefault(each.mount, []).append(f"{each.path}{size}")
    for mount, files in told.items():
        if mount in target.own:
            raise Untranslatable(
                f"its processes use {_listed(files)}, but {target.name} makes the mount at {mount} anew, without it",
                remedy=f"Checkpoint while no process uses a file on {mount}.",
            )
    return [
        f"the mount at {mount} must have what its processes use, unchanged: {_listed(files)}"
        for mount, files in told.items()
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _template(order: Order, target: Form, work: Work) -> Path | None:
    if order.template is None:
        return None
    folder = work.own / "template"
    archive.unpack(order.template, folder, work.budget, wanted=lambda name: "/" not in name and name not in BULK)
    if not there(folder, CONFIG) or not target.fits(folder):
        raise Unreadable(f"the template {order.template} is not {target.what}")
    return folder


BULK = ("rootfs-diff.tar", "devshm-checkpoint.tar")
"""Files of a template that are not needed."""


@contextlib.contextmanager
def _appearing(out: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Write a file that only its owner may read, and that gets its name when it is complete."""
    descriptor, beside = tempfile.mkstemp(prefix=f".{out.name[:100]}-", dir=out.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        if force:
            Path(beside).replace(out)
        else:
            os.link(beside, out)  # fails if the name has been taken meanwhile
    finally:
        Path(beside).unlink(missing_ok=True)


def _pack(folder: Path, file: BinaryIO) -> None:
    """Pack a folder, owned by root, without times, in order; the same content gives the same bytes."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for path in sorted(everything_below(folder)):
            info = tarfile.TarInfo(str(path.relative_to(folder)))
            if path.is_symlink():
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
                packed.addfile(info)
            elif path.is_dir():
                info.type, info.mode = tarfile.DIRTYPE, 0o700
                packed.addfile(info)
            else:
                info.mode, info.size = 0o600, path.stat().st_size
                with path.open("rb") as content:
                    packed.addfile(info, content)
