"""A node's daemons run in the background, are watched, and end with the node at the latest."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable

import pytest

from harness.host import audit
from harness.host.process import BASE_ENVIRONMENT
from harness.host.wait import until
from harness.model.errors import CommandFailed, EnvironmentUnfit
from harness.model.outcomes import Stage
from harness.stacks.daemon import Daemon
from harness.stacks.node import Node


def ended(daemon: Daemon) -> bool:
    try:
        daemon.check()
    except EnvironmentUnfit:
        return True
    return False


def daemon_of(node: Node, lines: str) -> Daemon:
    """A daemon called `sh` out of shell lines."""
    return node.launch(["sh", "-c", lines])


def our_sockets() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {link for link in found if link.startswith("socket:")}


def await_log(daemon: Daemon, words: str) -> None:
    until(lambda: words in " ".join(daemon.tail(9)), seconds=10, what=f"{words!r} in the log")


def test_a_daemon_is_not_waited_for_and_its_words_are_kept(node: Node) -> None:
    daemon = daemon_of(node, "echo out; echo err >&2; sleep 600")
    await_log(daemon, "out err")
    daemon.check()
    assert node.path("/var/log/sh.log").read_text() == "out\nerr\n"
    assert node.daemon_logs(1) == ("sh: err",)
    until(lambda: "sleep" in " ".join(audit.processes_of(node.pid)), seconds=10, what="the rest of the daemon")


def test_a_daemon_is_in_the_journal_as_one(node: Node) -> None:
    with node.journal.at(Stage.PREPARE):
        daemon_of(node, "sleep 600")
    command = node.journal.commands[-1]
    assert (command.argv, command.where, command.stage) == (("sh", "-c", "sleep 600"), node.stack, Stage.PREPARE)
    assert (command.background, command.runtime, command.exit_code) == (True, False, None)


@pytest.mark.parametrize("lines", ["echo why >&2; exit 3", "echo why; kill -9 $$"])
def test_a_daemon_that_has_ended_is_an_error_with_its_last_words(node: Node, lines: str) -> None:
    daemon = daemon_of(node, lines)
    until(lambda: ended(daemon), seconds=10, what="the end of the daemon")
    code = "3" if "exit" in lines else "-9"
    for _ in range(2):
        with pytest.raises(EnvironmentUnfit, match=rf"^sh has ended with code {code}: why$"):
            daemon.check()
    assert node.run(["echo", "alive"]).stdout == "alive\n"


def test_a_program_that_is_not_there_is_a_daemon_that_has_ended(node: Node) -> None:
    daemon = node.launch(["/usr/bin/no-such-daemon", "--debug"])
    assert daemon.name == "no-such-daemon"
    until(lambda: ended(daemon), seconds=10, what="the end of the daemon")
    with pytest.raises(EnvironmentUnfit, match=r"no-such-daemon has ended with code 127: .*No such file or directory"):
        daemon.check()


def test_a_daemon_inherits_nothing(node: Node) -> None:
    daemon = daemon_of(node, "env; ls /proc/self/fd | wc -l; readlink /proc/$$/fd/0; echo done; sleep 600")
    await_log(daemon, "done")
    *environment, descriptors, stdin, _ = daemon.tail(99)
    seen = dict(line.split("=", 1) for line in environment)
    assert {name: seen.get(name) for name in BASE_ENVIRONMENT} == BASE_ENVIRONMENT
    assert set(seen) <= set(BASE_ENVIRONMENT) | {"PWD", "OLDPWD", "SHLVL", "_"}
    assert (descriptors.strip(), stdin) == ("4", "/dev/null")


def test_what_is_logged_twice_under_one_name_is_kept(node: Node) -> None:
    first = daemon_of(node, "echo first")
    until(lambda: ended(first), seconds=10, what="the end of the first")
    await_log(daemon_of(node, "echo second; sleep 600"), "first second")


def test_a_daemon_survives_the_commands_beside_it(node: Node) -> None:
    daemon = daemon_of(node, "echo begun; sleep 600")
    await_log(daemon, "begun")
    with pytest.raises(CommandFailed):
        node.run(["sh", "-c", "exit 1"])
    daemon.check()


def test_a_daemon_ends_with_its_node_and_leaves_no_descriptor(start: Callable[[str], Node]) -> None:
    node = start("daemons")
    before = our_sockets()
    await_log(daemon_of(node, "trap '' TERM; echo begun; while :; do sleep 600; done"), "begun")
    other = daemon_of(node, "sleep 600")
    other.let_go()  # before the node ends, which lets every daemon go
    groups = audit.groups_of(node.pid)
    node.end()
    assert not [group for group in groups if os.path.exists(group)]
    assert our_sockets() == before, "what stays open becomes a ResourceWarning, and that an error"


def test_the_request_for_a_daemon_is_one_packet(node: Node) -> None:
    """As for any other command: the node's init answers when it ends, and not before."""
    daemon = daemon_of(node, f"echo {json.dumps('x' * 60_000)} | wc -c; sleep 600")
    await_log(daemon, "60001")
