"""The vocabulary: values, errors, the expectation for each cell, and the declared mutants.

Pure values: nothing here reads a checkpoint, starts a process or asks the machine.
"""
