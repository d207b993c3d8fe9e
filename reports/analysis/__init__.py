"""Records to cells, tables and comparisons.

In come records, out come values. Pure: nothing here reads a file or words a sentence.
"""
