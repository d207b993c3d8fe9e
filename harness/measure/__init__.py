"""How good and how dear the instrument is: its power to see a defect, its costs, its growth.

In come runs, or commands that make some, out come figures. Nothing here changes a result.
"""
