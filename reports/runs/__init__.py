"""Folders of runs: found, put together from shards, read, and kept as a history.

In come paths, out come summaries. What is damaged is told and never guessed.
"""
