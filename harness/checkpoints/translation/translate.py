"""An order from beginning to end: unpack, bridge the images, rewrite the form, pack; a result appears whole or not."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from harness.checkpoints import archive, completeness
from harness.checkpoints.archive import CHUNK, PARENT
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
"""In the order in which they are tried."""
BIG = 256 << 20
"""Bytes from which on it is told how far it has come."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is to be different."""

    to: str = ""
    """Name of a form."""
    runtime: Runtime | None = None
    criu: OldCriu | None = None
    template: Path | None = None
    image: str = ""


@dataclass(frozen=True)
class Translation:
    """What became of it, in sentences."""

    was: str
    """What was read."""
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What whoever restores has to know."""


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
    """Write what the checkpoint in `source` is by the order: an archive, or of a folder of images a folder, `out`.

    `container` chooses one of several.
    `Untranslatable` and `Unreadable` tell why it cannot be; then there is no `out`. One that is there is replaced by
    `force`, unless it is a folder.
    """
    if not (order.to or order.runtime or order.criu):
        raise UsageError("there is nothing to translate", remedy="Say --to, --runtime or --criu.")
    if os.path.lexists(out) and (not force or out.is_dir()):
        raise UsageError(
            f"{out} is there already", remedy="Name another one." + ("" if out.is_dir() else " Or --force.")
        )
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: there is no folder {out.absolute().parent}", remedy="Make it, or name another one.")
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
            remedy="It takes room for it in the folder that TMPDIR names and beside the result, and rights to both.",
        ) from error


def _see_to(found: Found, opened: Opened, budget: Budget) -> None:
    """Decline what is not whole, not known here, or not rewritten."""
    if opened.images is None or found.layout == ContainerdImage.name:
        raise Untranslatable(f"{found.what} is not rewritten", remedy="Known are archives and images of CRIU.")
    completeness.check(opened.images, opened.sizes, budget, followed=opened.within)


def _say_nothing(_: str) -> None:
    """It is done in no time."""


@dataclass(frozen=True)
class Work:
    """What a translation works with."""

    own: Path
    """An empty folder."""
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
    """Files of a checkpoint in a folder of ours."""
    source, root = checkpoint.source, checkpoint.root
    if checkpoint.layout == Criu.name:
        images = {name for name in source.files if name.endswith(".img")}
        folders = {name.rpartition("/")[0] for name in images}
        others = sorted(name for name in source.files if name.rpartition("/")[0] not in folders)
        if others:
            raise Untranslatable(
                f"it holds more than CRIU's images, as {others[0][:200]}, and such files would lose their attributes",
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
    """Translate a copy of a folder of images."""
    source = checkpoint.source.path / checkpoint.root
    if order.to:
        raise UsageError(f"--to {order.to}: {source} is a folder of images", remedy="Name the archive of an engine.")
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already", remedy="Name another one, for the folder that is made.")
    if (source / PARENT).is_symlink():
        raise Unreadable(
            "its images lean on an earlier level of memory, which would not be in the result",
            remedy="Take a checkpoint without earlier rounds (pre-dumps).",
        )
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name[:100]}-", dir=out.parent))
    try:
        for name in sorted(os.listdir(source)):  # noqa: PTH208  # names are all that is wanted
            if not os.path.isdir(source / name):  # noqa: PTH112  # no name is too long for it
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
        budget.keep(os.fstat(descriptor).st_size)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            shutil.copyfileobj(file, copy, CHUNK)


def _bridged(images: Path, found: Path | None, order: Order, budget: Budget) -> list[str]:
    """Bridge images of the unpacked archive of an engine, or None."""
    own = binds(document(found / SPEC)) if found else ()
    changes = bridges.to_runtime(images, order.runtime, budget, binds=own) if order.runtime else []
    return changes + (bridges.to_criu(images, order.criu, budget) if order.criu else [])


def _rewritten(found: Path, form: Form | None, order: Order, work: Work) -> tuple[Path, list[str], list[str]]:
    """Rewrite the form; gives the new folder, what was changed and what has to be known."""
    target = next(each for each in FORMS if each.name == order.to)
    if form is None:
        raise Untranslatable(f"it is no archive of an engine's, so there is nothing that {target.name} could be told")
    room, into = work.own / "room", work.own / "rewritten"
    room.mkdir()
    into.mkdir()
    content = form.read(found, room, work.budget)
    if content.tied:
        raise Untranslatable(
            f"{' and '.join(content.tied)} would be lost: an archive of {target.name} has no place for it",
            remedy="Keep such data in a folder of the host instead, which is bound into the container.",
        )
    notes = target.write(content, into, Help(_template(order, target, work), order.image), work.budget)
    changes = [f"{form.name} -> {target.name}: configuration, specification and what differs from the image"]
    if content.diff.deleted:
        changes.append(f"{len(content.diff.deleted)} deletions, as {target.name} writes them down")
    for name in (IMAGES, *KEPT):
        if there(found, name):
            (found / name).rename(into / name)
    left = sorted({path.name for path in found.iterdir()} - form.known)
    if left:
        changes.append(f"left out, since {target.name} does not know it: {', '.join(left)[:400]}")
    return into, changes, notes


def _template(order: Order, target: Form, work: Work) -> Path | None:
    if order.template is None:
        return None
    folder = work.own / "template"
    archive.unpack(order.template, folder, work.budget, wanted=lambda name: "/" not in name and name not in BULK)
    if not there(folder, CONFIG) or not target.fits(folder):
        raise Unreadable(f"the template {order.template} is not {target.what}")
    return folder


BULK = ("rootfs-diff.tar", "devshm-checkpoint.tar")
"""Of a template nobody asks for it."""


@contextlib.contextmanager
def _appearing(out: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Write a file for its owner's eyes only, that is there under its name when it is whole."""
    descriptor, beside = tempfile.mkstemp(prefix=f".{out.name[:100]}-", dir=out.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        if force:
            Path(beside).replace(out)
        else:
            os.link(beside, out)  # which declines what has come to be there meanwhile
    finally:
        Path(beside).unlink(missing_ok=True)


def _pack(folder: Path, file: BinaryIO) -> None:
    """Pack a folder of ours, always the same for the same content: owned by root, without times, in order."""
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
