"""What a checkpoint needs for a restore, read from its files alone, without a restore."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.checkpoints import completeness
from harness.checkpoints.criu import image
from harness.checkpoints.criu.image import CORE, FILES, IDS, NETWORK, PAGEMAP
from harness.checkpoints.criu.image import INVENTORY as INVENTORY_IMAGE
from harness.checkpoints.criu.open_files import files_outside
from harness.checkpoints.documents import CONFIG, there
from harness.checkpoints.find import choose, find, only
from harness.checkpoints.layouts import Opened
from harness.checkpoints.translation import bridges
from harness.checkpoints.untrusted import Budget
from harness.model.values import Frozen

INVENTORY = "inventory.img"
DESCRIPTORS = "descriptors.json"
"""File beside the images, written by runc (libcontainer/criu_linux.go) and crun."""


ARCHITECTURES = {1: "x86_64", 3: "aarch64"}
"""Architectures by CRIU's numbers (images/core.proto)."""
FEATURES = {
    r"seccomp\.img": "seccomp_filters",
    r"userns-[0-9]+\.img": "userns",
    r"nftables-[0-9]+\.img": "nftables",
}
"""CRIU's features by the names of the images that need them."""
TUN = 15
"""Kind of file for a tun device (fd_types in images/fdinfo.proto)."""
EXTENSIONS = {"avx": 1 << 2, "mpx": 0b11 << 3, "avx512f": 0b111 << 5, "pku": 1 << 9}
"""Bits of XSTATE_BV (Intel's manual, volume 1, section 13.1), by flags of /proc/cpuinfo."""


class Form(StrEnum):
    """The form of a checkpoint."""

    IMAGES = "CRIU's images alone"
    ENGINE = "the archive of an engine"
    SANDBOX = "the state of a gVisor sandbox"


class Needs(Frozen):
    """What a checkpoint needs from the restoring side."""

    form: Form
    engine: str = Field(default="", description="engine that made the archive")
    engine_runtime: str = Field(default="", description="OCI runtime, from the engine's description")
    image_version: int = Field(default=0, description="version of CRIU's images")
    architecture: str = Field(default="", description="the kernel's name of the architecture; empty if unknown")
    cpu: tuple[str, ...] = Field(
        default=(), description="CPU extensions whose registers are in use, by the kernel's names"
    )
    mounts: tuple[str, ...] = Field(default=(), description="mount points that the restoring side must provide")
    covers: dict[str, str] = Field(
        default_factory=dict, description="sources of the mounts over masked paths, by CRIU's keys for them"
    )
    descriptors: bool = Field(default=False, description="true if a runtime saved the names of the standard streams")
    masked_by: str = Field(default="", description="OCI runtime that uses these keys for masked files")
    counts_pages_anew: bool = Field(default=False, description="page counts are only in the field of CRIU 4.2")
    leaves_defaults_out: bool = Field(default=False, description="settings with the kernel's default have no value")
    features: tuple[str, ...] = Field(
        default=(), description="features that kernel and CRIU must have, by the names of `criu check --feature`"
    )
    outside: dict[str, str] = Field(
        default_factory=dict,
        description="paths that processes use on mounts of the restoring side, with the mount points",
    )
    groups_left_out: bool = Field(default=False, description="control groups are named without their content")

    @property
    def digest(self) -> str:
        """Digest that is equal for checkpoints with equal needs."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def needs(path: Path, budget: Budget | None = None, *, container: str = "") -> Needs:
    """Read the needs of the checkpoint at `path`; raise `Unreadable` if it is incomplete or of an unknown kind.

    `container` chooses one of several checkpoints; without it, several raise `UsageError`.
    """
    budget = budget or Budget()
    with tempfile.TemporaryDirectory(prefix="needs-") as own:
        return of_opened(only(choose(find(path, Path(own), budget), container)).open(pages=False), budget)


def of_opened(opened: Opened, budget: Budget) -> Needs:
    """Read the needs of an unpacked checkpoint, with or without its pages."""
    if opened.images is None:
        return Needs(form=Form.SANDBOX)
    completeness.check(opened.images, opened.sizes, budget, followed=opened.within)
    images = opened.images
    described = there(opened.documents, CONFIG) if opened.documents else None
    maker = bridges.made_by(images, budget)
    threads = _messages(images, r"core-[0-9]+\.img", CORE, budget)
    return Needs(
        form=Form.ENGINE if described else Form.IMAGES,
        engine=opened.description.engine if described else "",
        engine_runtime=opened.description.runtime.rpartition("/")[2] if described else "",
        image_version=next(image.read(images / INVENTORY, INVENTORY_IMAGE, budget)).img_version,
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
        features=tuple(sorted(set(_features(images, opened.sizes, budget)))),
        outside={each.path: each.mount for each in files_outside(images, budget)},
    )


def _features(images: Path, sizes: Mapping[str, int], budget: Budget) -> Iterator[str]:
    """Yield the features of criu/cr-check.c, feature_list, that this checkpoint uses."""
    used = {pattern: any(size and re.fullmatch(pattern, name) for name, size in sizes.items()) for pattern in FEATURES}
    yield from (FEATURES[pattern] for pattern, there in used.items() if there)
    outside = next(image.read(images / INVENTORY, INVENTORY_IMAGE, budget)).root_ids
    for ids in _messages(images, r"ids-[0-9]+\.img", IDS, budget):
        if ids.cgroup_ns_id != outside.cgroup_ns_id:
            yield "cgroupns"
        if ids.time_ns_id != outside.time_ns_id:
            yield "timens"
    if any(each.ext_key for each in _messages(images, r"netns-[0-9]+\.img", NETWORK, budget)):
        yield "external_net_ns"
    if any(each.type == TUN for each in _messages(images, r"files\.img", FILES, budget)):
        yield "tun"


def _extensions(threads: Iterable[Any]) -> Iterator[str]:
    """Yield the x86 extensions whose registers differ from their initial state in a thread, by XSAVE's own bits."""
    used = 0
    for thread in threads:
        used |= thread.thread_info.fpregs.xsave.xstate_bv
    yield from (name for name, bits in EXTENSIONS.items() if used & bits)


def _messages(images: Path, pattern: str, kind: image.Kind, budget: Budget) -> list[Any]:
    names = bridges.named(images, pattern, budget)
    return [message for name in names for message in image.read(images / name, kind, budget)]
