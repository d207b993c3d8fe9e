"""What is kept: versioned documents of what was found, and the folder of a run that holds them.

In come values, out come files, and the other way round. A record of an earlier version stays readable.
"""
