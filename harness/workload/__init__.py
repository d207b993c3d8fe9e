"""What a workload is and what it says: definitions, programs that are built, and messages.

In come files of the folder `workloads`, which knows nothing of us; out come values and binaries.
"""
