"""One trial: start, freeze, checkpoint, capture, restore and read a workload.

Input: a cell. Output: a record. Each step is a stage with a span on the timeline; a failed step raises `StageFailed`.
The oracle decides what the readings mean.
"""
