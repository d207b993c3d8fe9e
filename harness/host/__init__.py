"""The only room that touches processes, namespaces and cgroups.

In come argument lists and descriptions of namespaces, out come `Command` values and facts read from the kernel.
`process` is the one gate through which programs are started. It never decides what a fact means.
"""
