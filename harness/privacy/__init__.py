"""What a record never carries: secrets, memory, and the names of a machine and of those who use it.

In come texts and records, out come the same without it.
"""
