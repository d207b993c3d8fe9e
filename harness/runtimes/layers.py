"""Image and writable layer, kept by the harness for runtimes that know neither.

It does what an engine does: an overlay over the image's folder is the container's root, and its upper folder is
captured beside the checkpoint.
"""

from __future__ import annotations

from harness.checkpoints.disk import CapturedFiles
from harness.runtimes.contract import Checkpoint, Container, ContainerSpec, Contents
from harness.stacks.node import Node


class LayersOfOurs:
    """What such adapters have in common."""

    node: Node

    def load_image(self, folder: str) -> str:
        """The folder itself is the image."""
        return folder

    def capture(self, checkpoint: Checkpoint) -> None:
        """Copy the writable layer with all attributes; whiteouts are device nodes and travel too."""
        self.node.run(["cp", "--archive", checkpoint.container.upper, checkpoint.upper])

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Images and writable layer are folders as they are."""
        return Contents(checkpoint.images, {"/": CapturedFiles(self.node.path(checkpoint.upper))})

    def discard(self, checkpoint: Checkpoint) -> None:
        """All of it is in its folder."""

    def log(self, container: Container) -> str:  # noqa: ARG002
        """Nobody keeps what it prints."""
        return ""

    def _upper(self, spec: ContainerSpec) -> str:
        return f"{spec.folder}/upper"

    def _root(self, spec: ContainerSpec) -> str:
        return f"{spec.folder}/rootfs"

    def _mount_root(self, spec: ContainerSpec, *, upper: str | None) -> None:
        """Mount the root, with an empty writable layer or a copy of a captured one."""
        work = f"{spec.folder}/work"
        self.node.make(self._root(spec), work)
        if upper is None:
            self.node.make(self._upper(spec))
        else:
            self.node.run(["cp", "--archive", upper, self._upper(spec)])
        layers = f"lowerdir={spec.image},upperdir={self._upper(spec)},workdir={work}"
        self.node.run(["mount", "-t", "overlay", "overlay", "-o", layers, self._root(spec)])
