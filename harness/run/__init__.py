"""A run: its options, its cells, its plan, and the workers that execute the cells.

Input: the user's options. Output: one record per trial.
"""
