"""The contract of forms: how an engine lays out a checkpoint archive, read into what all of them know, and written.

To add one: a class that fulfils `Form`, and its place in `translate.FORMS`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from harness.checkpoints.documents import LOG, STATISTICS, parts, text
from harness.checkpoints.translation.bridges import Runtime
from harness.checkpoints.translation.diff import Diff
from harness.checkpoints.untrusted import Budget

MANAGER = "io.container.manager"
"""Annotation by which Podman and CRI-O sign a specification, and tools tell whose archive it is."""
NEVER = "0001-01-01T00:00:00Z"
"""Go's time that is not set."""
KEPT = (STATISTICS, LOG)
MASK_CHECK = (
    "CRIU may compare the root folder's mode, which differs between containerd and the others: it needs the option "
    "skip-file-rwx-check in /etc/criu/runc.conf or crun.conf"
)


@dataclass(frozen=True)
class Content:
    """A checkpoint, whoever has made it."""

    folder: Path
    """Its archive, unpacked; the images are in `checkpoint`."""
    id: str
    name: str
    image: str
    """Name of the image that the container was made from."""
    pullable: str
    """The same as NAME@DIGEST, or empty."""
    created: str
    taken: str
    """Both as RFC 3339 has it."""
    runtime: str
    """The OCI runtime, or empty where only the engine's own name for it is known."""
    spec: dict[str, Any]
    """The runtime specification of the container."""
    diff: Diff
    log: Path | None = None
    """What the container has printed, in the form of CRI."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Those that a user gave, as far as they can be told from the engine's."""
    tied: tuple[str, ...] = ()
    """What no other engine's archive has a place for, as the beginnings of sentences."""


@dataclass(frozen=True)
class Help:
    """What the user adds to a checkpoint."""

    template: Path | None = None
    """An archive of the wanted form, unpacked as far as `Form.takes` says."""
    image: str = ""
    """The image as NAME@DIGEST."""


class Form(Protocol):
    """An engine's archive."""

    name: ClassVar[str]
    what: ClassVar[str]
    """In a few words."""
    known: ClassVar[frozenset[str]]
    """Files and folders of it that are read or have no say in a restore."""

    def fits(self, folder: Path) -> bool:
        """Whether what is unpacked in the folder is such an archive."""

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read it, with room in the folder `own`. Raises `Unreadable` and `Untranslatable`."""

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:
        """Write what the archive is to hold but the images, and give what who restores has to know."""

    def with_runtime(self, folder: Path, runtime: Runtime) -> list[str]:
        """Name the OCI runtime, in place, where the archive names it; gives what was changed."""


def put(path: Path, content: object) -> None:
    """Write a file with JSON, always the same for the same content."""
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def binds(spec: Mapping[str, Any]) -> list[str]:
    """Where a specification has bind mounts."""
    found = []
    for mount in parts(spec, "mounts"):
        options = mount.get("options") or []
        if mount.get("type") == "bind" or (isinstance(options, list) and {"bind", "rbind"} & {*map(str, options)}):
            found.append(text(mount, "destination"))
    return found
