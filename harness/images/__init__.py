"""Checkpoint images: made by every tool that makes them, sent through all that images go through, and restored.

In comes a stack, out come `ImagePath` records: one per producer, route and state of the base image. Two nodes take
part, one where the checkpoint is taken and one where it is restored; between them go files, and nothing else. What a
tool declines is a finding, what we fail at is an error of ours, and a tool that is missing is proved to be so.
"""
