"""From readings to an outcome.

In come checkpoints and what workloads reported; out come readings, skews, anomalies and one verdict. Nothing here
starts a process or writes a file.
"""
