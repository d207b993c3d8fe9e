"""Measurements of the instrument itself: its power to detect a defect, its cost, and its growth with the records.

Input: runs, or commands that make runs. Output: figures. Nothing here changes a result.
"""
