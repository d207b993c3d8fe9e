"""The workload's image as an archive that every engine loads, with the same bytes in every node.

An engine names an image by the digest of its configuration, and restores a checkpoint only on the image of that name.
Engines in different nodes load the same bytes, and so have the same image.
https://github.com/moby/docker-image-spec/blob/main/spec.md
"""

from __future__ import annotations

import json

from harness.stacks.images import architecture
from harness.stacks.node import Node

NAME = "localhost/workload:latest"
"""Image with the workloads that are single programs."""
OF_APPLICATION = "localhost/application-"
"""Beginning of the names of images with an application."""
SAME = ("--format=ustar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner")
"""Options by which tar(1) writes the same bytes in every node."""
TIMELESS = "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"
WHOLE = ("--format=pax", "--sort=name", "--mtime=@0", "--numeric-owner", "--xattrs", TIMELESS)
"""Likewise, for the root file system of an application: with owners, long names and attributes."""


def write(node: Node, folder: str, name: str = NAME, **config: object) -> str:
    """Make an image whose only layer is the content of `folder`; the caller removes the returned archive.

    `config`: how a container of it is run, if nobody says otherwise: `Cmd`, `Entrypoint`.
    """
    parts, archive = f"{node.storage}/workload", f"{node.storage}/workload.tar"
    node.make(parts)
    how = WHOLE if name.startswith(OF_APPLICATION) else SAME
    node.run(["tar", "--create", *how, "--file", f"{parts}/layer.tar", "--directory", folder, "."])
    digest = node.run(["sha256sum", f"{parts}/layer.tar"]).stdout.split()[0]
    configuration = {
        "architecture": architecture(),
        "config": config,
        "created": "1970-01-01T00:00:00Z",
        "history": [{"created": "1970-01-01T00:00:00Z"}],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    node.write(f"{parts}/config.json", json.dumps(configuration))
    node.write(f"{parts}/manifest.json", json.dumps(manifest))
    node.run(["tar", "--create", "--file", archive, "--directory", parts, "."])
    node.remove(parts, again=True)
    return archive
