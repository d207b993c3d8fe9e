from __future__ import annotations

from harness.runtimes.criu_log import KEPT, telling_lines

LOG = """\
(00.000000) Version: 4.1 (gitid 0)
Warn  (criu/cgroup.c:1202): cg: Can't find tasks
(00.000104) Error (criu/rlimit.c:16): rlimit: Can't setup RLIMIT_NOFILE for self
(00.001000) pie: 1: Restoring
(00.002000) Error (criu/files.c:900): Can't open file /data/added.ring
(00.003000) Error (criu/cr-restore.c:1480): 42 exited, status=1
(00.004000) Error (criu/cgroup.c:1970): cgroupd: recv req error: No such file or directory
(00.005000) Error (criu/cr-restore.c:2536): Restoring FAILED.
"""


def test_the_cause_comes_first_and_known_noise_is_left_out() -> None:
    assert [line.rpartition(": ")[2] for line in telling_lines(LOG)] == [
        "Can't open file /data/added.ring",
        "42 exited, status=1",
        "Restoring FAILED.",
    ]


def test_of_many_errors_the_last_are_kept() -> None:
    lines = [f"(00.{number:06}) Error (criu/x.c:1): number {number}" for number in range(KEPT + 5)]
    assert telling_lines("\n".join(lines)) == tuple(lines[5:])


def test_a_log_without_errors_tells_nothing() -> None:
    assert telling_lines("(00.1) Dumping finished successfully\n") == ()
    assert telling_lines("") == ()
