"""The contract of forms: a form reads an engine's checkpoint archive into a common content, and writes it.

To add a form: write a class that fulfils `Form`, and list it in `translate.FORMS`.
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
"""Annotation with which Podman and CRI-O sign a specification; tools identify the engine by it."""
NEVER = "0001-01-01T00:00:00Z"
"""Go's value of a time that is not set."""
KEPT = (STATISTICS, LOG)


@dataclass(frozen=True)
class Content:
    """The content of a checkpoint, from any engine."""

    folder: Path
    """The unpacked archive; the images are in `checkpoint`."""
    id: str
    name: str
    full_name: str
    """NAME_POD_NAMESPACE_UID_ATTEMPT if the container is in a pod, otherwise the name."""
    image: str
    """Name of the container's image."""
    pullable: str
    """The image as NAME@DIGEST, or empty."""
    created: str
    taken: str
    """Both times are in the format of RFC 3339."""
    runtime: str
    """The OCI runtime, or empty if only the engine's own name for it is known."""
    spec: dict[str, Any]
    """The runtime specification of the container."""
    diff: Diff
    log: Path | None = None
    """The container's output, in CRI's log format."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """The user's annotations, as far as they can be distinguished from the engine's."""
    tied: tuple[str, ...] = ()
    """Content that no other engine's archive has a place for, as beginnings of sentences."""


@dataclass(frozen=True)
class Help:
    """What the user adds to a checkpoint."""

    template: Path | None = None
    """An archive of the wanted form, unpacked without its bulk."""
    image: str = ""
    """The image as NAME@DIGEST."""


class Form(Protocol):
    """The form of an engine's archive."""

    name: ClassVar[str]
    what: ClassVar[str]
    """A short description, for messages."""
    known: ClassVar[frozenset[str]]
    """Files and folders of the archive that `read` uses, or that do not matter for a restore."""
    own: ClassVar[frozenset[str]]
    """Mount points that the engine provides itself, with new content for each pod or container."""

    def fits(self, folder: Path) -> bool:
        """Return whether the folder holds an unpacked archive of this form."""

    def read(self, folder: Path, own: Path, budget: Budget) -> Content:
        """Read the archive; `own`: a folder for temporary files. Raise `Unreadable` and `Untranslatable`."""

    def write(self, content: Content, into: Path, given: Help, budget: Budget) -> list[str]:
        """Write the archive's content except the images; return notes for the restore."""

    def with_runtime(self, folder: Path, runtime: Runtime) -> list[str]:
        """Change the OCI runtime that the archive names, in place; return the changes."""


def put(path: Path, content: object) -> None:
    """Write a JSON file; the same content gives the same bytes."""
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def binds(spec: Mapping[str, Any]) -> list[str]:
    """Return the mount points of a specification's bind mounts."""
    found = []
    for mount in parts(spec, "mounts"):
        options = mount.get("options") or []
        if mount.get("type") == "bind" or (isinstance(options, list) and {"bind", "rbind"} & {*map(str, options)}):
            found.append(text(mount, "destination"))
    return found
