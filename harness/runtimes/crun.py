"""crun, an OCI runtime in C; it loads CRIU's library at run time."""

from __future__ import annotations

from harness.runtimes.oci import OciRuntime


class Crun(OciRuntime):
    """Adapter for crun."""

    name = "crun"
