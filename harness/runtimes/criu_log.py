"""Find the lines of a CRIU log that tell why it failed; wrappers quote the first line with Error, which rarely does."""

from __future__ import annotations

NOISE = (
    "rlimit: Can't setup RLIMIT_NOFILE for self",  # criu#537, harmless, in every log without CAP_SYS_RESOURCE
    "cgroupd: recv req error",  # follows any failure
    "ddress already assigned",  # ip(8) of the loopback device, harmless
)
KEPT = 12


def telling_lines(log: str) -> tuple[str, ...]:
    """Errors of `log` without the known noise, at most the last twelve; the first of them is usually the cause."""
    errors = [line for line in log.splitlines() if "Error" in line and not any(noise in line for noise in NOISE)]
    return tuple(errors[-KEPT:])
