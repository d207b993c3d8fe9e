"""Versions of programs, from their own output."""

from __future__ import annotations

from harness.stacks.node import Node


def number(said: str) -> str:
    """Return the first word that begins with a digit, or the whole text if there is none."""
    return next((word.rstrip(",") for word in said.split() if word[0].isdigit()), said.strip())


def of_program(node: Node, program: str, *, flag: str = "--version") -> str:
    """Ask a program in the node for its version."""
    return number(node.run([program, flag]).stdout)
