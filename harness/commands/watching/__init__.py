"""Tells what a run would have, and shows it while it goes on, in place of pytest's own reporter.

What comes in are pytest's reports about cells and controls; what goes out is a display on a terminal, or lines in a
log. Nothing here decides about a result.
"""
