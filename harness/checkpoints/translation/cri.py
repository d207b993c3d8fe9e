"""The archives of CRI's CheckpointContainer: CRI-O's (internal/lib/checkpoint.go), and containerd's, which differs.

Both describe a container with the same few fields (checkpointctl, lib/metadata.go), and take everything else from the
request that restores it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from harness.checkpoints.description import GIVEN, engine_of
from harness.checkpoints.documents import CONFIG, IMAGES, SPEC, STATUS, document, parts, text, texts, there
from harness.checkpoints.translation import bridges, diff
from harness.checkpoints.translation.form import KEPT, MANAGER, MASK_CHECK, NEVER, Content, Help, binds, put
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.errors import Untranslatable

CONTAINERD_RUNTIME = "io.containerd.runc.v2"
CONTAINERD_LOG, CRIO_LOG = "container.log", "io.kubernetes.cri-o.LogPath"
PULLABLE = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
RUNNING = 1
"""Number of the state in CRI's ContainerState."""
CRIO = "io.kubernetes.cri-o."
METADATA = f"{CRIO}Metadata"
OF_THE_POD = frozenset(
    {
        *("/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/dev/shm", "/etc/resolv.conf"),  # noqa: S108
        *("/etc/hostname", "/etc/passwd", "/etc/group", "/run/secrets", "/run/.containerenv"),
    }
)
"""Mounts that CRI-O always makes again by itself (CRImportCheckpoint, ignoreMounts)."""


class CriO:
    """CRI-O's form: a tar of the changes, and a list of deleted files."""

    name: ClassVar[str] = "crio"
    what: ClassVar[str] = "an archive made by CRI-O"
    known: ClassVar[frozenset[str]] = frozenset(
        {IMAGES, CONFIG, SPEC, "bind.mounts", "rootfs-diff.tar", "deleted.files", CRIO_LOG, *KEPT}
    )

    def fits(self, folder: Path) -> bool:
        """Return whether CRI-O signed the specification."""
        return engine_of(folder) == self.name

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read the archive; one annotation holds all annotations of the user."""
        spec = document(folder / SPEC)
        try:
            given = json.loads(texts(spec, "annotations")[GIVEN])
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"the annotation {GIVEN} is not JSON: {error}") from error
        changes = diff.from_list(there(folder, "rootfs-diff.tar"), there(folder, "deleted.files"), own, budget)
        return _content(folder, spec, changes, there(folder, CRIO_LOG), texts({"given": given}, "given"))

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:  # noqa: ARG002
        """Write the archive; name the image without a digest, where CRI-O expects the id of its own store."""
        if not content.image:
            raise Untranslatable("it names no image, which CRI-O needs to make the container")
        config = _described(content)
        put(into / CONFIG, {**config, "rootfsImage": content.image, "rootfsImageName": content.image.partition("@")[0]})
        own = {MANAGER: "cri-o", GIVEN: _packed(content.annotations), METADATA: _packed({"name": content.name})}
        kept = [each for each in parts(content.spec, "mounts") if each.get("type") != "tmpfs" or _of_the_pod(each)]
        put(into / SPEC, {**content.spec, "mounts": kept, "annotations": {**_foreign(content), **own}})
        diff.to_list(content.diff, into, budget, without=binds(content.spec))
        if content.log:
            content.log.rename(into / CRIO_LOG)
        return _asked(text(each, "destination") for each in kept if not _of_the_pod(each))

    def with_runtime(self, folder: Path, runtime: bridges.Runtime) -> list[str]:
        """Change the runtime if the archive names the other one; CRI-O itself takes it from its configuration."""
        config = document(folder / CONFIG)
        if text(config, "runtime") not in set(bridges.Runtime) - {runtime}:
            return []
        put(folder / CONFIG, config | {"runtime": runtime.value})
        return [f"{CONFIG}: the runtime is {runtime}"]


class Containerd:
    """containerd's form: CRI's archive with an OCI layer, although the layer's file has the same name."""

    name: ClassVar[str] = "containerd"
    what: ClassVar[str] = "an archive made by containerd for CRI"
    known: ClassVar[frozenset[str]] = frozenset(
        {IMAGES, CONFIG, SPEC, STATUS, "status", "rootfs-diff.tar", CONTAINERD_LOG, *KEPT}
    )

    def fits(self, folder: Path) -> bool:
        """Return whether the archive has CRI's status, which only containerd keeps."""
        return engine_of(folder) == self.name

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read the archive; its layer may be compressed."""
        layer = there(folder, "rootfs-diff.tar")
        changes = diff.from_layer(layer, own, budget) if layer else diff.Diff(None)
        annotations = texts(document(folder / STATUS), "annotations")
        return _content(folder, document(folder / SPEC), changes, there(folder, CONTAINERD_LOG), annotations)

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:
        """Write the archive; name the image by a digest, since containerd pulls it."""
        pullable = given.image or content.pullable or _of_template(given)
        if not PULLABLE.fullmatch(pullable):
            raise Untranslatable(
                f"containerd pulls the container's image by digest, but the archive only names {content.image!r}",
                remedy="Give --image NAME@sha256:DIGEST, or --template ARCHIVE, made by containerd of the same image.",
            )
        name = pullable.partition("@")[0] if given.image or not content.image else content.image
        config = _described(content) | {"runtime": CONTAINERD_RUNTIME}
        put(into / CONFIG, {**config, "rootfsImage": name, "rootfsImageName": name, "rootfsImageRef": pullable})
        put(into / SPEC, {**content.spec, "annotations": _foreign(content)})
        status = {"id": content.id, "metadata": {"name": content.name}, "state": RUNNING, "image": {"image": name}}
        put(
            into / STATUS,
            {**status, "image_ref": pullable, "annotations": {MANAGER: "containerd", **content.annotations}},
        )
        if content.diff.entries or content.diff.deleted:
            diff.to_layer(content.diff, into / "rootfs-diff.tar", budget)
        if content.log:
            content.log.rename(into / CONTAINERD_LOG)
        return [MASK_CHECK, *_asked(bridges.wanted_mounts(content.folder / IMAGES, budget))]

    def with_runtime(self, folder: Path, runtime: bridges.Runtime) -> list[str]:  # noqa: ARG002
        """Change nothing: the archive names the shim, which is the same for all runtimes."""
        return []


def _content(
    folder: Path, spec: dict[str, Any], changes: diff.Diff, log: Path | None, annotations: dict[str, str]
) -> Content:
    config = document(folder / CONFIG)
    refs = (text(config, "rootfsImageRef"), text(config, "rootfsImageName"), text(config, "rootfsImage"))
    runtime = text(config, "runtime")
    return Content(
        folder=folder,
        id=text(config, "id"),
        name=text(config, "name"),
        image=refs[1] or refs[2],
        pullable=next((each for each in refs if PULLABLE.fullmatch(each)), ""),
        created=text(config, "createdTime") or NEVER,
        taken=text(config, "checkpointedTime") or NEVER,
        runtime="" if runtime == CONTAINERD_RUNTIME else runtime,
        spec=spec,
        diff=changes,
        log=log,
        annotations=annotations,
    )


def _described(content: Content) -> dict[str, object]:
    times = {"createdTime": content.created, "checkpointedTime": content.taken, "restoredTime": NEVER}
    runtime = {"runtime": content.runtime} if content.runtime else {}
    return {"id": content.id, "name": content.name, **runtime, **times, "restored": False}


def _foreign(content: Content) -> dict[str, str]:
    """Return the annotations of the specification without the engine's own."""
    every = texts(content.spec, "annotations")
    return {key: value for key, value in every.items() if key != MANAGER and not key.startswith(CRIO)}


def _of_the_pod(mount: dict[str, Any]) -> bool:
    return text(mount, "destination") in OF_THE_POD


def _of_template(given: Help) -> str:
    return text(document(given.template / CONFIG), "rootfsImageRef") if given.template else ""


def _packed(content: object) -> str:
    return json.dumps(content, sort_keys=True)


def _asked(wanted: Iterable[str]) -> list[str]:
    places = ", ".join(sorted(wanted))
    return [f"the request that restores it must mount {places}"] if places else []
