"""Numbers of CRI and of gRPC, by name; without protobuf, which is slow to load."""

from __future__ import annotations

PROGRAM = "cri"
"""Name of a call in the journal, and of the program that makes it in a node's shell."""
POD, CONTAINER, NODE = range(3)
"""`NamespaceMode`: whose namespace a container is in."""
UNCONFINED = 1
"""`SecurityProfile.ProfileType`: no seccomp profile."""
RUNNING = 1
"""`ContainerState`: what is created, has ended or is in a state that only a newer CRI has does not run."""
NOT_FOUND, UNIMPLEMENTED = 5, 12
"""Status codes of gRPC."""
