"""Workloads: definitions, compiled programs, and messages.

Input: files in the folder `workloads`, which is independent of the harness. Output: values and binaries.
"""
