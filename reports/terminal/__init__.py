"""Texts for a terminal or a build log: tables, checkpoints, comparisons, one cell.

Input: values of the analysis. Output: lines. No string of a record can control the terminal.
"""
