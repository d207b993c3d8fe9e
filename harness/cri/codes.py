"""Numbers of CRI and of gRPC, by name; without protobuf, which is slow to load."""

from __future__ import annotations

POD, CONTAINER, NODE = range(3)
"""`NamespaceMode`: whose namespace a container is in."""
UNCONFINED = 1
"""`SecurityProfile.ProfileType`: no seccomp profile."""
STATES = ("CREATED", "RUNNING", "EXITED", "UNKNOWN")
"""`ContainerState` by number."""
NOT_FOUND = 5
"""Status code of gRPC."""
