"""The archives of CRI's CheckpointContainer: CRI-O's (internal/lib/checkpoint.go), and containerd's, which differs.

Both describe a container by the same few words (checkpointctl, lib/metadata.go), and take all else from the request by
which it is restored.
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
"""ContainerState of CRI."""
CRIO = "io.kubernetes.cri-o."
METADATA = f"{CRIO}Metadata"
OF_THE_POD = frozenset(
    {
        *("/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/dev/shm", "/etc/resolv.conf"),  # noqa: S108
        *("/etc/hostname", "/etc/passwd", "/etc/group", "/run/secrets", "/run/.containerenv"),
    }
)
"""Mounts that CRI-O makes anew without being asked to (CRImportCheckpoint, ignoreMounts)."""


class CriO:
    """CRI-O's form: a tar of what differs, and a list of what was deleted."""

    name: ClassVar[str] = "crio"
    what: ClassVar[str] = "an archive that CRI-O has made"
    known: ClassVar[frozenset[str]] = frozenset(
        {IMAGES, CONFIG, SPEC, "bind.mounts", "rootfs-diff.tar", "deleted.files", CRIO_LOG, *KEPT}
    )

    def fits(self, folder: Path) -> bool:
        """It signs the specification."""
        return engine_of(folder) == self.name

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read it; what the user has annotated is in an annotation itself."""
        spec = document(folder / SPEC)
        try:
            given = json.loads(texts(spec, "annotations")[GIVEN])
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"the annotation {GIVEN} is no JSON: {error}") from error
        changes = diff.from_list(there(folder, "rootfs-diff.tar"), there(folder, "deleted.files"), own, budget)
        return _content(folder, spec, changes, there(folder, CRIO_LOG), texts({"given": given}, "given"))

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:  # noqa: ARG002
        """Name the image without a digest, for which CRI-O wants the identity that it has in the store here."""
        if not content.image:
            raise Untranslatable("it tells no image that CRI-O could make the container from")
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
        """Name the runtime, if it is named by its own name; CRI-O asks its configuration and not the archive."""
        config = document(folder / CONFIG)
        if text(config, "runtime") not in set(bridges.Runtime) - {runtime}:
            return []
        put(folder / CONFIG, config | {"runtime": runtime.value})
        return [f"{CONFIG}: the runtime is {runtime}"]


class Containerd:
    """containerd's form: the archive of CRI with an OCI layer, of which the name does not tell."""

    name: ClassVar[str] = "containerd"
    what: ClassVar[str] = "an archive that containerd has made for CRI"
    known: ClassVar[frozenset[str]] = frozenset(
        {IMAGES, CONFIG, SPEC, STATUS, "status", "rootfs-diff.tar", CONTAINERD_LOG, *KEPT}
    )

    def fits(self, folder: Path) -> bool:
        """Only it keeps what CRI says of the container."""
        return engine_of(folder) == self.name

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read it; the layer may be compressed."""
        layer = there(folder, "rootfs-diff.tar")
        changes = diff.from_layer(layer, own, budget) if layer else diff.Diff(None)
        annotations = texts(document(folder / STATUS), "annotations")
        return _content(folder, document(folder / SPEC), changes, there(folder, CONTAINERD_LOG), annotations)

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:
        """Name the image by a digest, since containerd pulls it."""
        pullable = given.image or content.pullable or _of_template(given)
        if not PULLABLE.fullmatch(pullable):
            raise Untranslatable(
                f"containerd pulls the image of what it restores, and needs its digest; known is {content.image!r}",
                remedy="Give --image NAME@sha256:DIGEST, or --template ARCHIVE: one of the same image, by containerd.",
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
        """The archive names the shim, which is the same for both."""
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
    """Annotations of the specification that are no engine's signature."""
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
    return [f"the request that restores it has to mount {places}"] if places else []
