"""What a checkpoint takes to be restored, read out of its files alone: nothing of it is restored or started."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.checkpoints import archive, criu_image
from harness.checkpoints.criu_image import CORE, NETWORK, PAGEMAP
from harness.checkpoints.criu_image import INVENTORY as INVENTORY_IMAGE
from harness.checkpoints.documents import CONFIG, document, there
from harness.checkpoints.layouts import SANDBOX
from harness.checkpoints.translation import bridges
from harness.checkpoints.translation.translate import FORMS
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model import Frozen

INVENTORY = "inventory.img"
DESCRIPTORS = "descriptors.json"
"""Written beside the images by runc (libcontainer/criu_linux.go), and by crun after it."""


ARCHITECTURES = {1: "x86_64", 3: "aarch64"}
"""By the numbers that CRIU has for them (images/core.proto)."""
EXTENSIONS = {"avx": 1 << 2, "mpx": 0b11 << 3, "avx512f": 0b111 << 5, "pku": 1 << 9}
"""Bits of XSTATE_BV (Intel's manual, volume 1, section 13.1), by flags of /proc/cpuinfo."""


class Form(StrEnum):
    """What it is."""

    IMAGES = "CRIU's images alone"
    ENGINE = "the archive of an engine"
    SANDBOX = "the state of a gVisor sandbox"


class Needs(Frozen):
    """What has to be the same, or known, where a checkpoint is restored."""

    form: Form
    engine: str = Field(default="", description="whose archive it is")
    engine_runtime: str = Field(default="", description="of which its engine's description says that it made it")
    image_version: int = Field(default=0, description="of CRIU's images")
    architecture: str = Field(default="", description="as the kernel calls it; empty where it is not known here")
    cpu: tuple[str, ...] = Field(
        default=(), description="extensions whose registers are in use, as the kernel calls them"
    )
    mounts: tuple[str, ...] = Field(default=(), description="where whoever restores has to bring a mount along")
    covers: dict[str, str] = Field(
        default_factory=dict, description="what covers masked paths, by the keys under which CRIU asks for it"
    )
    descriptors: bool = Field(default=False, description="a runtime has noted what its streams were")
    masked_by: str = Field(default="", description="the OCI runtime that gives these keys to masked files")
    counts_pages_anew: bool = Field(default=False, description="number of pages in the field of CRIU 4.2 alone")
    leaves_defaults_out: bool = Field(default=False, description="settings with the kernel's default have no value")
    groups_left_out: bool = Field(default=False, description="control groups are named and not described")

    @property
    def digest(self) -> str:
        """The same for checkpoints that take the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def needs(path: Path, budget: Budget | None = None) -> Needs:
    """Read it from an archive or a folder; `Unreadable` if it is no checkpoint, or a damaged one."""
    budget = budget or Budget()
    if path.is_dir():
        return _of_folder(path, budget)
    with tempfile.TemporaryDirectory(prefix="needs-") as own:
        archive.unpack(path, Path(own), budget, wanted=_tells)
        return _of_folder(Path(own), budget)


def _tells(name: str) -> bool:
    """Whether a file of an archive is read; pages and disks are not."""
    last = name.rpartition("/")[2]
    return (
        last.endswith(".dump")
        or last in (SANDBOX, DESCRIPTORS)
        or (last.endswith(".img") and not last.startswith("pages-"))
    )


def _of_folder(folder: Path, budget: Budget) -> Needs:
    inventory = next((path for path in sorted(folder.rglob(INVENTORY)) if not path.is_symlink()), None)
    if inventory is None:
        if any(path.is_file() for path in folder.rglob(SANDBOX)):
            return Needs(form=Form.SANDBOX)
        raise Unreadable(f"{folder.name} is no checkpoint: it has neither {INVENTORY} nor {SANDBOX}")
    images = inventory.parent
    described = there(folder, CONFIG)
    maker = bridges.made_by(images, budget)
    threads = _messages(images, r"core-[0-9]+\.img", CORE, budget)
    return Needs(
        form=Form.ENGINE if described else Form.IMAGES,
        engine=next((form.name for form in FORMS if form.fits(folder)), "") if described else "",
        engine_runtime=_runtime(described) if described else "",
        image_version=next(criu_image.read(inventory, INVENTORY_IMAGE, budget)).img_version,
        architecture=next((ARCHITECTURES.get(each.mtype, "") for each in threads), ""),
        cpu=tuple(_extensions(threads)),
        mounts=tuple(sorted(bridges.wanted_mounts(images, budget))),
        covers=bridges.covers(images, budget),
        descriptors=there(images, DESCRIPTORS) is not None,
        masked_by=maker or "",
        counts_pages_anew=any(
            entry.HasField("nr_pages") and not entry.compat_nr_pages
            for entry in _messages(images, r"pagemap-(?:shmem-)?[0-9]+\.img", PAGEMAP, budget)
            if "nr_pages" in entry.DESCRIPTOR.fields_by_name
        ),
        leaves_defaults_out=any(
            not setting.HasField("sarg")
            for namespace in _messages(images, r"netns-[0-9]+\.img", NETWORK, budget)
            for setting in namespace.ipv4_sysctl
        ),
        groups_left_out=bridges.groups_left_out(images, budget) is not None,
    )


def _extensions(threads: Iterable[Any]) -> Iterator[str]:
    """Those of x86 whose registers are other than at the start in one of the threads, by XSAVE's own bits."""
    used = 0
    for thread in threads:
        used |= thread.thread_info.fpregs.xsave.xstate_bv
    yield from (name for name, bits in EXTENSIONS.items() if used & bits)


def _runtime(described: Path) -> str:
    """The OCI runtime by its engine's description, in which it may be a path."""
    found = document(described).get("runtime")
    return found.rpartition("/")[2] if isinstance(found, str) else ""


def _messages(images: Path, pattern: str, kind: criu_image.Kind, budget: Budget) -> list[Any]:
    names = bridges.named(images, pattern, budget)
    return [message for name in names for message in criu_image.read(images / name, kind, budget)]
