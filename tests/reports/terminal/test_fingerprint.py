from __future__ import annotations

from reports.runs.fingerprint import Class, Fingerprint
from reports.terminal.fingerprint import lines


def test_a_version_cannot_drive_the_terminal() -> None:
    evil = Class(name="class 1", members=("runc: criu \x1b[2J\u202e\u2028\x9b31m",), restores=())
    told = list(lines(Fingerprint(classes=(evil,), edges=())))
    assert told[1].startswith("  runc: criu ")
    assert all(line.isprintable() for line in told)
