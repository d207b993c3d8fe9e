"""Podman's archive, of `podman container checkpoint --export`; libpod/container_internal_common.go, exportCheckpoint.

Its config.dump is all that Podman knows about a container, so a template must provide it: it cannot be invented.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import ClassVar

from harness.checkpoints import archive
from harness.checkpoints.description import engine_of
from harness.checkpoints.documents import CONFIG, IMAGES, SPEC, document, part, text, there
from harness.checkpoints.layouts import INVENTORY
from harness.checkpoints.translation import bridges, diff
from harness.checkpoints.translation.form import KEPT, NEVER, Content, Help, binds, put
from harness.checkpoints.untrusted import Budget
from harness.model.errors import Untranslatable

LOG, NETWORK, SHM = "ctr.log", "network.status", "devshm-checkpoint.tar"
TEMPLATE = (
    "Give --template ARCHIVE: a checkpoint exported by Podman of a container with the same image, command and mounts."
)


class Podman:
    """Podman's form."""

    name: ClassVar[str] = "podman"
    what: ClassVar[str] = "an archive exported by Podman"
    known: ClassVar[frozenset[str]] = frozenset(
        {IMAGES, CONFIG, SPEC, NETWORK, SHM, LOG, "rootfs-diff.tar", "deleted.files", "volumes", *KEPT}
    )
    own: ClassVar[frozenset[str]] = frozenset(
        {"/dev/shm", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv", "/run/secrets"}  # noqa: S108
    )

    def fits(self, folder: Path) -> bool:
        """Return whether the configuration has the image's id, which only Podman writes."""
        return engine_of(folder) == self.name

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read the archive; other engines have no place for volumes and the content of /dev/shm."""
        config, spec = document(folder / CONFIG), document(folder / SPEC)
        tied = []
        if config.get("namedVolumes"):
            tied.append("the content of its volumes")
        shm = there(folder, SHM)
        if shm and any(member.name for member in archive.members(shm, budget)):
            tied.append("the content of its /dev/shm")
        return Content(
            folder=folder,
            id=text(config, "id"),
            name=text(config, "name"),
            full_name=text(config, "name"),
            image=text(config, "rootfsImageName"),
            pullable="",
            created=text(config, "createdTime") or NEVER,
            taken=_taken(folder),
            runtime=text(config, "runtime"),
            spec=spec,
            diff=diff.from_list(there(folder, "rootfs-diff.tar"), there(folder, "deleted.files"), own, budget),
            log=there(folder, LOG),
            tied=tuple(tied),
        )

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:
        """Write the archive: the template's documents with this checkpoint's content."""
        if given.template is None:
            raise Untranslatable(
                "Podman needs to know more about the container than the archive says",
                remedy=_template_for(content, budget),
            )
        config, spec = document(given.template / CONFIG), document(given.template / SPEC)
        _agree(content, spec, budget)
        runtime = bridges.made_by(content.folder / IMAGES, budget)
        if runtime:
            config["runtime"] = runtime.value
        if config.get("namedVolumes"):
            raise Untranslatable(
                "the template has volumes, but the checkpoint does not contain their content", remedy=TEMPLATE
            )
        put(into / CONFIG, config)
        put(into / SPEC, spec)
        network = there(given.template, NETWORK)
        if network:
            network.rename(into / NETWORK)
        diff.to_list(content.diff, into, budget, without=binds(spec))
        if content.log and there(given.template, LOG):
            content.log.rename(into / LOG)
        image = f"{text(config, 'rootfsImageName')}, {text(config, 'rootfsImageID')[:12]}"
        return [
            f"Podman's store must have the image as {image}, and it must be the checkpoint's image, {content.image}"
        ]

    def with_runtime(self, folder: Path, runtime: bridges.Runtime) -> list[str]:
        """Change the runtime in place, since Podman declines an archive of another runtime."""
        config = document(folder / CONFIG)
        if config.get("runtime") == runtime:
            return []
        config["runtime"] = runtime.value
        put(folder / CONFIG, config)
        return [f"{CONFIG}: the runtime is {runtime}"]


def _taken(folder: Path) -> str:
    """Return when CRIU wrote the inventory, since Podman notes no time; the time in the archive may be missing."""
    written = (folder / IMAGES / INVENTORY).stat().st_mtime
    with contextlib.suppress(OverflowError, ValueError):  # after the last year
        return dt.datetime.fromtimestamp(written, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if written > 0 else NEVER
    return NEVER


def _agree(content: Content, spec: dict[str, object], budget: Budget) -> None:
    """Raise `Untranslatable` for a template with another command, or without mounts that the images need."""
    command, other = (part(each, "process").get("args") for each in (content.spec, spec))
    if command != other:
        raise Untranslatable(f"the template runs {other}, but the checkpoint runs {command}", remedy=TEMPLATE)
    missing = bridges.wanted_mounts(content.folder / IMAGES, budget) - set(binds(spec))
    if missing:
        remedy = _template_for(content, budget)
        raise Untranslatable(f"the template has no mount at {sorted(missing)}", remedy=remedy)


def _template_for(content: Content, budget: Budget) -> str:
    """Return the remedy; on the host's network there is no namespace in the images."""
    own = bridges.named(content.folder / IMAGES, r"netns-[0-9]+\.img", budget)
    return f"{TEMPLATE[:-1]}, and on the host's network (--network host)." if not own else TEMPLATE
