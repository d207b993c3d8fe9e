"""A run: its options, the cells that it has, their schedule, and the workers that play them.

In come choices, out come records, a trial at a time.
"""
