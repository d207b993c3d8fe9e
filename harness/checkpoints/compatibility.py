"""Prediction of a restore: a rule for each known obstacle, with its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.checkpoints.needs import Form, Needs
from harness.checkpoints.translation.bridges import EMPTY_DIRECTORY, OldCriu, Runtime
from harness.checkpoints.translation.cri import Containerd, CriO
from harness.model.machine import Component
from harness.model.outcomes import Answer, Prediction

TO = {
    "podman": "--to podman --template ARCHIVE",
    "crio": "--to crio",
    "containerd": "--to containerd --image NAME@DIGEST",
}
"""Options of `translate` by engines: their names are those of components, too."""
OF_A_POD = CriO.own | Containerd.own
"""Mount points at which a new pod has content of its own."""


@dataclass(frozen=True)
class Machine:
    """The machine of the restore."""

    architecture: str
    flags: frozenset[str]
    """CPU flags from /proc/cpuinfo."""


@dataclass(frozen=True)
class Side:
    """The restoring side."""

    versions: Mapping[str, str]
    """Versions by component."""
    mapped: Collection[str] = ()
    """Keys of external mounts that CRIU's configuration maps on this side."""
    machine: Machine | None = None
    """None: the machine is unknown, and no obstacle."""
    lacks: frozenset[str] = frozenset()
    """Features that the checkpoint uses and CRIU on this side says it lacks."""

    @property
    def engine(self) -> str:
        """Name of its engine; empty for a runtime alone."""
        return next((each for each in TO if each in self.versions), "")

    @property
    def runtime(self) -> Runtime | None:
        """Its OCI runtime, if we know the images of that runtime."""
        return next((each for each in Runtime if each in self.versions), None)

    def before(self, component: str, *release: int) -> bool:
        """Return whether it has the component in a version before this release."""
        return component in self.versions and _release(self.versions[component]) < release

    def since(self, component: str, *release: int) -> bool:
        """Return whether it has the component in this release or a later one."""
        return component in self.versions and not self.before(component, *release)

    @property
    def to_engine(self) -> str:
        """Options that translate an archive for its engine."""
        return TO.get(self.engine, "")

    @property
    def to_runtime(self) -> str:
        """Options that translate images for its OCI runtime."""
        return f"--runtime {self.runtime}" if self.runtime else ""

    @property
    def to_criu(self) -> str:
        """Options that translate images for its version of CRIU; empty if none do."""
        version = f"{self.versions.get('criu', '')}."
        return next((f"--criu {each}" for each in OldCriu if version.startswith(f"{each}.")), "")


@dataclass(frozen=True)
class Rule:
    """A rule about one obstacle."""

    hinders: Callable[[Needs, Side], bool]
    why: str
    """A sentence with placeholders for fields of the needs."""
    link: str
    translated: Callable[[Side], str] = lambda _: ""
    """Options of `translate` that remove the obstacle; empty if none do."""
    answer: Answer = Answer.NO


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"[0-9]+", version.partition("+")[0])[:3]))


def _another_engine(needs: Needs, side: Side) -> bool:
    return bool(needs.engine) and needs.engine not in side.versions


def _another_runtime(needs: Needs, side: Side) -> bool:
    return "podman" in side.versions and needs.engine == "podman" and needs.engine_runtime not in side.versions


def _unknown_mask(needs: Needs, side: Side) -> bool:
    keys = {key for key in needs.covers if not _is_folder(key)}
    return bool(side.runtime and needs.masked_by not in ("", side.runtime) and not keys.issubset(side.mapped))


def _mask_without_runtime(needs: Needs, side: Side) -> bool:
    return not side.runtime and not side.engine and not needs.covers.keys() <= set(side.mapped)


def _used_in_a_pod(needs: Needs, side: Side) -> bool:
    return side.engine in ("crio", "containerd") and not OF_A_POD.isdisjoint(needs.outside.values())


def _no_descriptors(needs: Needs, side: Side) -> bool:
    return bool(side.runtime) and not needs.descriptors


def _unknown_folder(needs: Needs, side: Side) -> bool:
    known = side.runtime is Runtime.CRUN and not side.before("crun", 1, 24)
    return bool(side.runtime) and not known and any(_is_folder(key) and key not in side.mapped for key in needs.covers)


def _other_architecture(needs: Needs, side: Side) -> bool:
    return side.machine is not None and needs.architecture not in ("", side.machine.architecture)


def _lacking_extension(needs: Needs, side: Side) -> bool:
    return side.machine is not None and not side.machine.flags.issuperset(needs.cpu)


def _is_folder(key: str) -> bool:
    return key.rpartition("/")[2] == EMPTY_DIRECTORY


RULES: tuple[Rule, ...] = (
    Rule(
        _another_engine,
        "an engine reads only its own archives, and this archive is from {engine}",
        "https://github.com/checkpoint-restore/checkpointctl/issues/174",
        lambda side: side.to_engine,
    ),
    Rule(
        _another_runtime,
        "Podman declines a checkpoint by another OCI runtime, here {engine_runtime}",
        "https://github.com/containers/podman/issues/12351",
        lambda side: side.to_runtime,
    ),
    Rule(
        lambda _, side: side.before("containerd", 2, 1),
        "containerd restores archives since 2.1",
        "https://github.com/containerd/containerd/pull/10365",
    ),
    Rule(
        lambda _, side: side.since("containerd", 2, 2) and side.before("containerd", 2, 4),
        "newer releases of containerd 2.2 and 2.3 restore archives only with enable_experimental_restore_via_create in "
        "their configuration",
        "https://github.com/containerd/containerd/pull/13913",
        answer=Answer.UNKNOWN,
    ),
    Rule(
        lambda _, side: side.since("containerd", 2, 4),
        "containerd restores no archives any more since 2.4",
        "https://github.com/containerd/containerd/pull/13871",
    ),
    Rule(
        _used_in_a_pod,
        "its processes use {outside}, and a new pod has content of its own at these mount points",
        "https://github.com/checkpoint-restore/criu/blob/v4.2/criu/files-reg.c",
    ),
    Rule(
        lambda needs, side: needs.counts_pages_anew and side.before("criu", 4, 2),
        "CRIU before 4.2 reads the number of pages from a field that is 0 here, and restores no page",
        "https://github.com/checkpoint-restore/criu/blob/v4.2/images/pagemap.proto",
        lambda side: side.to_criu,
    ),
    Rule(
        lambda needs, side: needs.leaves_defaults_out and side.before("criu", 4, 2),
        "CRIU before 4.2 fails on settings of net/ipv4 without a value",
        "https://github.com/checkpoint-restore/criu/blob/v4.2/criu/net.c",
        lambda side: side.to_criu,
    ),
    Rule(
        _other_architecture,
        "it comes from a machine with another architecture, {architecture}",
        "https://github.com/checkpoint-restore/criu/blob/v4.2/images/core.proto",
    ),
    Rule(
        _lacking_extension,
        "its threads use registers of {cpu}, and this machine lacks some of them",
        "https://criu.org/Cpuinfo",
    ),
    Rule(
        lambda needs, side: not side.lacks.isdisjoint(needs.features),
        "it uses {features}, and `criu check --feature` says that the restoring side lacks one of them",
        "https://criu.org/Check_the_kernel",
    ),
    Rule(
        _unknown_mask,
        "it names the mounts over masked files as {masked_by} does, and the restoring side does not know these names",
        "https://github.com/containers/podman/issues/12351",
        lambda side: side.to_runtime,
    ),
    Rule(
        _mask_without_runtime,
        "it names the mounts over masked paths as {masked_by} does, and no runtime provides them for the restore",
        "https://criu.org/External_bind_mounts",
    ),
    Rule(
        _no_descriptors,
        "no OCI runtime made it: descriptors.json, which OCI runtimes read first, is missing",
        "https://github.com/opencontainers/runc/blob/v1.3.0/libcontainer/criu_linux.go",
    ),
    Rule(
        _unknown_folder,
        "it covers masked folders with a folder of crun, which only crun 1.24 and later know",
        "https://github.com/containers/crun/commit/d8a88c06",
        lambda side: side.to_runtime,
    ),
    Rule(
        lambda needs, side: needs.groups_left_out and side.before("crun", 1, 26),
        "it names control groups without their content, and crun before 1.26 does not tell CRIU to leave them alone",
        "https://github.com/containers/crun/commit/17f23ac2",
        lambda side: side.to_runtime,
    ),
)


def predict(
    needs: Needs,
    restoring: Sequence[Component],
    *,
    mapped: Collection[str] = (),
    machine: Machine | None = None,
    lacks: Collection[str] = (),
) -> Prediction:
    """Predict whether these components will restore the checkpoint; `lacks`: features that CRIU there says it lacks."""
    side = Side({each.name: each.version for each in restoring}, mapped, machine, frozenset(lacks))
    foreign = (needs.form is Form.SANDBOX) != ("runsc" in side.versions)
    if foreign or (needs.form is Form.ENGINE) != bool(side.engine):
        return Prediction(answer=Answer.NO, reasons=(f"it is {needs.form}",))
    if needs.form is Form.SANDBOX:
        why = "gVisor restores only checkpoints of the same release, and the files do not say which release made them"
        return Prediction(answer=Answer.UNKNOWN, reasons=(why,))
    hindered = [rule for rule in RULES if rule.hinders(needs, side)]
    if hindered:
        told = {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in needs}
        told["outside"] = ", ".join(path for path, mount in needs.outside.items() if mount in OF_A_POD)
        reasons = tuple(f"{rule.why.format_map(told)} ({rule.link})" for rule in hindered)
        options = [rule.translated(side) for rule in hindered if rule.answer is Answer.NO]
        answer = Answer.NO if options else Answer.UNKNOWN
        translate = " ".join(dict.fromkeys(options)) if all(options) else ""
        return Prediction(answer=answer, reasons=reasons, translate=translate)
    return Prediction(answer=Answer.YES)
