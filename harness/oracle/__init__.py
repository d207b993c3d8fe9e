"""From readings to an outcome.

In come bytes of rings and of memory pages, and what workloads reported; out come readings, skews, anomalies and one
verdict. Everything here is pure: it starts no process, changes no file, and treats what it reads as hostile.
"""
