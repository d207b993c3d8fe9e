"""One trial: a workload is started, frozen, checkpointed, captured, restored and read.

In comes a cell, out comes a record. Each step is a stage with a span on the timeline; one that fails raises
`StageFailed`. What the readings mean is decided in the oracle.
"""
