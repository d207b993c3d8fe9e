"""What a checkpoint takes to be restored, read out of its files alone: nothing of it is restored or started."""

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
from harness.checkpoints.documents import CONFIG, there
from harness.checkpoints.find import choose, find, only
from harness.checkpoints.layouts import Opened
from harness.checkpoints.translation import bridges
from harness.checkpoints.untrusted import Budget
from harness.model.values import Frozen

INVENTORY = "inventory.img"
DESCRIPTORS = "descriptors.json"
"""Written beside the images by runc (libcontainer/criu_linux.go), and by crun after it."""


ARCHITECTURES = {1: "x86_64", 3: "aarch64"}
"""By the numbers that CRIU has for them (images/core.proto)."""
FEATURES = {
    r"seccomp\.img": "seccomp_filters",
    r"userns-[0-9]+\.img": "userns",
    r"nftables-[0-9]+\.img": "nftables",
}
"""Features that images of these names stand for."""
TUN = 15
"""Kind of a file that is a tun device (fd_types in images/fdinfo.proto)."""
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
    features: tuple[str, ...] = Field(
        default=(), description="what kernel and CRIU have to be able to do, by the names of `criu check --feature`"
    )
    groups_left_out: bool = Field(default=False, description="control groups are named and not described")

    @property
    def digest(self) -> str:
        """The same for checkpoints that take the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def needs(path: Path, budget: Budget | None = None, *, container: str = "") -> Needs:
    """Read it from whatever holds the checkpoint; `Unreadable` if it is none, or not whole, or not of a known kind.

    `container` chooses one of several; without, `UsageError` if there are several.
    """
    budget = budget or Budget()
    with tempfile.TemporaryDirectory(prefix="needs-") as own:
        return of_opened(only(choose(find(path, Path(own), budget), container)).open(pages=False), budget)


def of_opened(opened: Opened, budget: Budget) -> Needs:
    """Read it from a checkpoint that is laid open, with or without its pages."""
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
    )


def _features(images: Path, sizes: Mapping[str, int], budget: Budget) -> Iterator[str]:
    """By criu/cr-check.c, feature_list: of those, the ones that this checkpoint uses."""
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
    """Those of x86 whose registers are other than at the start in one of the threads, by XSAVE's own bits."""
    used = 0
    for thread in threads:
        used |= thread.thread_info.fpregs.xsave.xstate_bv
    yield from (name for name, bits in EXTENSIONS.items() if used & bits)


def _messages(images: Path, pattern: str, kind: image.Kind, budget: Budget) -> list[Any]:
    names = bridges.named(images, pattern, budget)
    return [message for name in names for message in image.read(images / name, kind, budget)]
