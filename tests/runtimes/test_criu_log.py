from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from harness.model.errors import CommandFailed
from harness.runtimes import shim
from harness.runtimes.criu_log import KEPT, explained, telling_lines
from tests.folder_node import FolderNode

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


# ---- what is attached to a failure


@pytest.fixture
def node(tmp_path: Path) -> FolderNode:
    return FolderNode(tmp_path)


def lines_of(explanation: contextlib.AbstractContextManager[None]) -> list[str]:
    """Return the log lines of a failure inside `explanation`."""
    with pytest.raises(CommandFailed) as raised, explanation:
        raise CommandFailed("it failed", stderr="one\ntwo\n")
    return [line.rpartition(": ")[2] for line in raised.value.log]


def test_a_failure_brings_the_log_of_whatever_place_it_is_in(node: FolderNode) -> None:
    node.put_log("/store/one/restore.log", LOG)
    assert (
        lines_of(explained(node, "/nowhere/restore.log", "/store/*/restore.log"))[0]
        == "Can't open file /data/added.ring"
    )


def test_the_log_of_an_earlier_command_explains_nothing(node: FolderNode) -> None:
    node.put("/store/restore.log", LOG)
    os.utime(node.path("/store/restore.log"), (1, 1))
    assert lines_of(explained(node, "/store/restore.log")) == ["one", "two"]


def test_where_criu_tells_nothing_another_text_stands_for_it(node: FolderNode) -> None:
    node.put_log("/store/restore.log", "(00.1) Restore finished successfully\n")
    assert lines_of(explained(node, "/store/restore.log", otherwise=lambda: "three\n")) == ["three"]


@pytest.mark.parametrize(
    "prefix", ["", 'time="2026-11-29T19:16:50Z" level=warning msg="345:'], ids=["crun's lines", "runc's lines"]
)
def test_a_log_that_only_the_message_quotes_tells_the_cause(node: FolderNode, prefix: str) -> None:
    message = "\n".join(f"{prefix}{line}{prefix and chr(34)}" for line in LOG.splitlines())
    with pytest.raises(CommandFailed) as raised, explained(node, "/nowhere/restore.log"):
        raise CommandFailed("it failed", stderr=f"restoring failed: quoting a log\n{message}\nso it failed")
    assert raised.value.log == telling_lines(LOG)
    assert raised.value.late, "CRIU had begun"


def test_success_needs_no_explanation(node: FolderNode) -> None:
    def asked() -> str:
        raise AssertionError("nobody wants to know")

    with explained(node, "/store/restore.log", otherwise=asked):
        pass


@pytest.mark.parametrize("fails", [False, True])
def test_what_the_shim_leaves_of_a_restore_is_removed_and_told(node: FolderNode, fails: bool) -> None:
    with contextlib.suppress(CommandFailed), shim.restoring(node, "/restore.log"):
        node.put("/tmp/ctrd-checkpoint1/pages-1.img", "memory")
        node.put("/tmp/other", "")
        if fails:
            raise CommandFailed("it failed")
    assert [path.name for path in node.path("/tmp").iterdir()] == ["other"]
    (remark,) = node.remarks
    assert "containerd left the restored checkpoint in /tmp" in remark
