"""From readings to an outcome.

Checkpoints and the reports of workloads come in; readings, skews, anomalies and one verdict go out. Nothing here
starts a process or writes a file.
"""
