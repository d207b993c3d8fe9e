"""runc, the reference OCI runtime."""

from __future__ import annotations

from harness.runtimes.oci import OciRuntime


class Runc(OciRuntime):
    """Adapter for runc."""

    name = "runc"
