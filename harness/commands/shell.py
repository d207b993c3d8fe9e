"""`stillframe shell`: a shell in a fresh node of a stack."""

from __future__ import annotations

import argparse

from harness.run.options import Options
from harness.stacks import build, definition
from harness.stacks.node import Node
from harness.trial import bench
from harness.workload.programs import compile_all
from reports.terminal.tell import tell


def shell(arguments: argparse.Namespace) -> int:
    """Open it; gives the exit code of the shell."""
    options = Options.of(arguments)
    stack = definition.load(arguments.stack_name)
    root = build.prepare(stack, options.cache, mirror=options.mirror, progress=tell)
    binaries = compile_all(options.cache)
    with Node(stack.name, root, name="shell", version=options.cgroups) as node:
        bench.lay_out_image(node, f"{node.storage}/image", binaries, options.settings)
        tell("A node's shell. Paste what `stillframe show CELL` prints; everything in here ends with it.")
        return node.interact(["bash", "--norc"])
