"""The parts of a checkpoint: engines' archives, their layouts, and CRIU's images.

All input is treated as hostile, and nothing is written outside the folder that the caller names.
"""
