"""The only room that touches processes, namespaces and cgroups.

Input: argument lists and descriptions of namespaces. Output: `Command` values and facts read from the kernel.
Every program starts through `process`. Nothing here decides what a fact means.
"""
