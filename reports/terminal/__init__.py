"""Texts for a terminal or the log of a build: tables, checkpoints, comparisons, one cell.

In come values of the analysis, out come lines. What is printed drives no terminal, whatever a record holds.
"""
