"""Checkpoint images: made by every tool that can, sent over every route that images take, and restored.

A stack comes in, `ImagePath` records go out: one per producer, route and state of the base image. The checkpoint is
taken on one node and restored on another; only files travel between them. If a tool declines, that is a finding. If we
fail, that is our error. A probe proves that a tool is missing.
"""
