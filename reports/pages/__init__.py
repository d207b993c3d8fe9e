"""The site: pages, charts and timelines.

In comes the summary of a run, out come texts of HTML. Every string of a record may be hostile and is escaped here.
"""
