"""Folders of runs to one summary: shards are put together, histories kept, what is damaged is told."""
