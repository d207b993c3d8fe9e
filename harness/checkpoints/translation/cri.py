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
from harness.checkpoints.documents import CONFIG, IMAGES, SPEC, STATUS, document, part, parts, text, texts, there
from harness.checkpoints.translation import bridges, diff
from harness.checkpoints.translation.form import KEPT, MANAGER, NEVER, Content, Help, binds, put
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.errors import Untranslatable

CONTAINERD_RUNTIME = "io.containerd.runc.v2"
CONTAINERD_LOG, CRIO_LOG = "container.log", "io.kubernetes.cri-o.LogPath"
PULLABLE = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
RUNNING = 1
"""Number of the state in CRI's ContainerState."""
CRIO = "io.kubernetes.cri-o."
METADATA = f"{CRIO}Metadata"
CRI = "io.kubernetes.cri."
POD = "k8s_"
"""Begins the full name of a container in a pod in CRI-O's archives."""
OWN = frozenset({MANAGER, "platform-runtime-path.crio.io"})
"""Annotations of engines with other names."""
DIGESTS = f"{CRIO}ImageRepoDigests"
COVERED = (
    "that request must also have the container's masked_paths, linux.maskedPaths of spec.dump: crun finds the covers "
    "of files by them"
)


class CriO:
    """CRI-O's form: a tar of the changes, and a list of deleted files."""

    name: ClassVar[str] = "crio"
    what: ClassVar[str] = "an archive made by CRI-O"
    known: ClassVar[frozenset[str]] = frozenset(
        {IMAGES, CONFIG, SPEC, "bind.mounts", "rootfs-diff.tar", "deleted.files", CRIO_LOG, *KEPT}
    )
    own: ClassVar[frozenset[str]] = frozenset(
        {
            *("/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/dev/shm", "/etc/resolv.conf"),  # noqa: S108
            *("/etc/hostname", "/etc/passwd", "/etc/group", "/run/secrets", "/run/.containerenv"),
        }
    )
    """Mounts that CRI-O always makes again by itself (CRImportCheckpoint, ignoreMounts)."""

    def fits(self, folder: Path) -> bool:
        """Return whether CRI-O signed the specification."""
        return engine_of(folder) == self.name

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read the archive; one annotation holds all annotations of the user."""
        spec = document(folder / SPEC)
        given, metadata = (_annotation(spec, name) for name in (GIVEN, METADATA))
        changes = diff.from_list(there(folder, "rootfs-diff.tar"), there(folder, "deleted.files"), own, budget)
        said, log = texts({GIVEN: given}, GIVEN), there(folder, CRIO_LOG)
        return _content(folder, spec, changes, log, annotations=said, metadata=metadata)

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:  # noqa: ARG002
        """Write the archive; name the image without a digest, where CRI-O expects the id of its own store."""
        if not content.image:
            raise Untranslatable("it names no image, which CRI-O needs to make the container")
        name = content.name if content.full_name == content.name else f"{POD}{content.full_name}"
        config = {**_described(content), "name": name, "rootfsImage": content.image}
        put(into / CONFIG, {**config, "rootfsImageName": content.image.partition("@")[0]})
        own = {MANAGER: "cri-o", GIVEN: _packed(content.annotations), METADATA: _packed({"name": content.name})}
        if content.created != NEVER:
            own[f"{CRIO}Created"] = content.created
        kept = [each for each in parts(content.spec, "mounts") if each.get("type") != "tmpfs" or self._makes(each)]
        put(into / SPEC, {**content.spec, "mounts": kept, "annotations": {**_foreign(content), **own}})
        diff.to_list(content.diff, into, budget, without=binds(content.spec))
        if content.log:
            content.log.rename(into / CRIO_LOG)
        return _asked(text(each, "destination") for each in kept if not self._makes(each))

    def _makes(self, mount: dict[str, Any]) -> bool:
        return text(mount, "destination") in self.own

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
    own: ClassVar[frozenset[str]] = frozenset({"/dev/shm", "/etc/hostname", "/etc/resolv.conf"})  # noqa: S108

    def fits(self, folder: Path) -> bool:
        """Return whether the archive has CRI's status, which only containerd keeps."""
        return engine_of(folder) == self.name

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read the archive; its layer may be compressed."""
        layer = there(folder, "rootfs-diff.tar")
        changes = diff.from_layer(layer, own, budget) if layer else diff.Diff(None)
        spec, status, log = document(folder / SPEC), document(folder / STATUS), there(folder, CONTAINERD_LOG)
        said, metadata = texts(status, "annotations"), part(status, "metadata")
        return _content(folder, spec, changes, log, annotations=said, metadata=metadata)

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:
        """Write the archive; name the image by a digest, since containerd pulls it."""
        pullable = given.image or content.pullable or _of_template(given)
        if given.image and not PULLABLE.fullmatch(given.image):
            raise Untranslatable(
                f"--image {given.image} is no name with a digest, from which containerd could pull it",
                remedy="Write NAME@sha256:DIGEST, with all 64 digits.",
            )
        if not PULLABLE.fullmatch(pullable):
            raise Untranslatable(
                f"containerd pulls the container's image by digest, but the archive only names {content.image!r}",
                remedy="Give --image NAME@sha256:DIGEST, or --template ARCHIVE, made by containerd of the same image.",
            )
        image = content.image or pullable.partition("@")[0]
        config = _described(content) | {"runtime": CONTAINERD_RUNTIME}
        put(into / CONFIG, {**config, "rootfsImage": image, "rootfsImageName": image, "rootfsImageRef": pullable})
        own = {"container-name": content.name, "container-type": "container", "image-name": image}
        own = {f"{CRI}{key}": value for key, value in own.items()}
        put(into / SPEC, {**content.spec, "annotations": {**_foreign(content), **own}})
        status = {"id": content.id, "metadata": {"name": content.name}, "state": RUNNING, "image": {"image": image}}
        said = {"annotations": dict(content.annotations)} if content.annotations else {}
        put(into / STATUS, {**status, "image_ref": pullable, **said})
        if content.diff.entries or content.diff.deleted:
            diff.to_layer(content.diff, into / "rootfs-diff.tar", budget)
        if content.log:
            content.log.rename(into / CONTAINERD_LOG)
        wanted = _asked(bridges.wanted_mounts(content.folder / IMAGES, budget) - self.own)
        by_crun = bridges.made_by(content.folder / IMAGES, budget) is bridges.Runtime.CRUN
        return wanted + [COVERED] * by_crun

    def with_runtime(self, folder: Path, runtime: bridges.Runtime) -> list[str]:  # noqa: ARG002
        """Change nothing: the archive names the shim, which is the same for all runtimes."""
        return []


def _annotation(spec: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the JSON object in an annotation; empty if absent or `null`."""
    try:
        found = json.loads(texts(spec, "annotations").get(name, "null"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the annotation {name} is not JSON: {error}") from error
    return part({name: found}, name)


def _content(
    folder: Path,
    spec: dict[str, Any],
    changes: diff.Diff,
    log: Path | None,
    *,
    annotations: dict[str, str],
    metadata: dict[str, Any],
) -> Content:
    config = document(folder / CONFIG)
    full_name = text(config, "name").removeprefix(POD)
    refs = (text(config, "rootfsImageRef"), text(config, "rootfsImageName"), text(config, "rootfsImage"))
    digests = texts(spec, "annotations").get(DIGESTS, "").replace(",", " ").split()
    runtime = text(config, "runtime")
    return Content(
        folder=folder,
        id=text(config, "id"),
        name=text(metadata, "name") or full_name,
        full_name=full_name,
        image=refs[1] or refs[2],
        pullable=next((each for each in (*refs, *digests) if PULLABLE.fullmatch(each)), ""),
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
    return {"id": content.id, "name": content.full_name, **runtime, **times, "restored": False}


def _foreign(content: Content) -> dict[str, str]:
    """Return the annotations of the specification without the engine's own."""
    every = texts(content.spec, "annotations")
    return {key: value for key, value in every.items() if key not in OWN and not key.startswith((CRIO, CRI))}


def _of_template(given: Help) -> str:
    return text(document(given.template / CONFIG), "rootfsImageRef") if given.template else ""


def _packed(content: object) -> str:
    return json.dumps(content, sort_keys=True)


def _asked(wanted: Iterable[str]) -> list[str]:
    places = ", ".join(sorted(wanted))
    return [f"the request that restores it must mount {places}"] if places else []
