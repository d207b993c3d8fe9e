"""The vocabulary: values, errors, what is expected of each cell, and the mutants that are declared.

Pure values: nothing here reads a checkpoint, starts a process or asks the machine.
"""
