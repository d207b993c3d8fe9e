"""Folders of runs: find them, merge their shards, read them, and keep them as a history.

Input: paths. Output: summaries. The code reports damaged data and never guesses.
"""
