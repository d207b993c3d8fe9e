"""Cells, tables and comparisons, computed from records.

Input: records. Output: values. Pure: nothing here reads a file or words a sentence.
"""
