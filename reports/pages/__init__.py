"""The site: pages, charts and timelines.

Input: the summary of a run. Output: HTML. Every string of a record may be hostile and is escaped here.
"""
