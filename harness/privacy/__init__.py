"""Redaction: removes secrets, memory, and the names of a machine and its users from texts and records.

Texts and records come in, and go out redacted.
"""
