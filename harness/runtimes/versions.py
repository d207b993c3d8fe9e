"""Versions of programs, from their own output."""

from __future__ import annotations

import re

from harness.model.machine import Component
from harness.stacks.node import Node


def number(said: str) -> str:
    """Return the first word that begins with a digit, or the whole text if there is none."""
    return next((word.rstrip(",") for word in said.split() if word[0].isdigit()), said.strip())


def of_program(node: Node, program: str, *, flag: str = "--version") -> str:
    """Ask a program in the node for its version."""
    return number(node.ask([program, flag]).stdout)


def of_system(node: Node) -> tuple[Component, ...]:
    """Return the node's operating system as a component, if it is not Debian; its packages may be patched otherwise."""
    said = dict(re.findall(r'^(\w+)="?(.*?)"?$', node.read("/etc/os-release"), re.MULTILINE))
    if said.get("ID", "debian") == "debian":
        return ()
    return (Component(name="os", version=said.get("PRETTY_NAME") or said["ID"]),)
