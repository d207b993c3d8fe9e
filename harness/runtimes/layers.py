"""Image and writable layer, kept by the harness for runtimes that have neither.

The harness does the same as an engine: the container's root is an overlay over the image's folder, and the overlay's
upper folder is captured beside the checkpoint.
"""

from __future__ import annotations

import re

from harness.checkpoints.disk import CapturedFiles
from harness.model.errors import CommandFailed
from harness.runtimes.contract import Checkpoint, Container, ContainerSpec, Contents
from harness.stacks.node import Node

VANISHED = re.compile(r"cp: (cannot|preserving) \w+ (for |of )?'.*'.*: No such file or directory")


class LayersOfOurs:
    """Base class of adapters whose image and writable layer the harness keeps."""

    node: Node

    def load_image(self, folder: str, name: str = "") -> str:  # noqa: ARG002  # the folder is its name
        """Return the folder, which is the image itself."""
        return folder

    def capture(self, checkpoint: Checkpoint) -> None:
        """Copy the writable layer with all attributes, and with whiteouts, which are device nodes."""
        said = self.node.run(["cp", "--archive", checkpoint.container.upper, checkpoint.upper], accept=(0, 1))
        told = said.stderr.splitlines()
        if said.exit_code and not (told and all(map(VANISHED.fullmatch, told))):
            raise CommandFailed(f"the writable layer cannot be copied: {said.stderr.strip()}", stderr=said.stderr)
        if said.exit_code:  # nobody holds the container still
            self.node.remark(f"{len(told)} files vanished while the writable layer was copied: {told[0]}")

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Return the folders of the images and of the writable layer."""
        return Contents(checkpoint.images, {"/": CapturedFiles(self.node.path(checkpoint.upper))})

    def discard(self, checkpoint: Checkpoint) -> None:
        """Do nothing: the whole checkpoint is in its folder."""

    def log(self, container: Container) -> str:  # noqa: ARG002
        """Return no log: there is no engine to keep one."""
        return ""

    def _upper(self, spec: ContainerSpec) -> str:
        return f"{spec.folder}/upper"

    def _root(self, spec: ContainerSpec) -> str:
        return f"{spec.folder}/rootfs"

    def _mount_root(self, spec: ContainerSpec, *, upper: str | None) -> None:
        """Mount the root with a copy of the captured layer `upper`, or with an empty writable layer."""
        work = f"{spec.folder}/work"
        self.node.make(self._root(spec), work)
        if upper is None:
            self.node.make(self._upper(spec))
        else:
            self.node.run(["cp", "--archive", upper, self._upper(spec)])
        layers = f"lowerdir={spec.image},upperdir={self._upper(spec)},workdir={work}"
        self.node.run(["mount", "-t", "overlay", "overlay", "-o", layers, self._root(spec)])
