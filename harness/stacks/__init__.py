"""Stacks and nodes: definitions in `ci/stacks`, root file systems that are built from them, and nodes.

Input: a stack's name. Output: a running `Node`, a disposable, isolated instance of the stack. Nothing here knows what
runs in a node.
"""
