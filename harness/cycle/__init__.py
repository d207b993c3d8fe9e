"""The checkpoint/restore cycle, one file per step: freeze, checkpoint, capture, restore.

In comes a running container, out comes a restored one. Each step is a stage with a span on the timeline; a step that
fails raises `StageFailed`. What the readings mean is decided elsewhere.
"""
