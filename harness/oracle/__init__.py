"""From readings to an outcome.

In come checkpoints, as engines or CRIU lay them out, and what workloads reported; out come readings, skews, anomalies
and one verdict. Nothing here starts a process or writes a file, but for what `archive` unpacks into a folder that it is
given; and whatever is read is treated as hostile.
"""
