"""The client of CRI against a server that answers, declines, hangs, or is none."""

from __future__ import annotations

import socket as sockets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from harness.cri import client as clients
from harness.cri.client import Client
from harness.cri.codes import NOT_FOUND
from harness.host.process import Patience
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, GivenUp
from harness.model.readings import GivesUp
from harness.trial.answers import Trials
from tests.cri.engine import Answers, serving
from tests.folder_node import FolderNode

SOCKET = "/cri.sock"
CODES = {GivesUp.DEADLINE: 4, GivesUp.KILLED: 1}
"""Status codes of gRPC: DEADLINE_EXCEEDED, CANCELLED."""


def declines(_: dict[str, Any], context: grpc.ServicerContext) -> dict[str, Any]:
    context.abort(grpc.StatusCode.NOT_FOUND, 'container "x": not found')
    return {}


def test_an_answer_has_the_fields_that_are_known(node: FolderNode) -> None:
    with serving(node.path(SOCKET), {"Version": lambda *_: {"runtime_name": "containerd"}}) as asked:
        client = Client(node, None, SOCKET)
        assert client.call("Version", version="v1").runtime_name == "containerd"
        client.close()
    assert asked == [("Version", {"version": "v1"})]
    assert node.journal.commands == [], "what only reads is nothing to replay"


def test_a_call_that_changes_something_is_in_the_journal(node: FolderNode) -> None:
    with serving(node.path(SOCKET), {"StartContainer": lambda *_: {}}):
        client = Client(node, None, SOCKET)
        client.call("StartContainer", container_id="c0ffee")
        client.close()
    (command,) = node.journal.commands
    assert command.argv == ("cri", SOCKET, "StartContainer", '{"container_id": "c0ffee"}')
    assert (command.runtime, command.exit_code) == (True, 0)


def test_what_the_engine_declines_has_its_words_and_its_code(node: FolderNode) -> None:
    with serving(node.path(SOCKET), {"StopContainer": declines}):
        client = Client(node, None, SOCKET)
        with pytest.raises(CommandFailed, match=r'StopContainer .* failed: NOT_FOUND: container "x"') as found:
            client.call("StopContainer", container_id="x", timeout=0)
        client.close()
    assert (found.value.code, found.value.stderr, found.value.runtime) == (
        NOT_FOUND,
        'container "x": not found',
        True,
    )
    assert node.journal.commands[0].exit_code == NOT_FOUND


def test_a_method_that_the_engine_does_not_have_is_said_to_be_so(node: FolderNode) -> None:
    with serving(node.path(SOCKET), {}):
        client = Client(node, None, SOCKET)
        with pytest.raises(CommandFailed, match=r"CheckpointPod .* failed: UNIMPLEMENTED"):
            client.call("CheckpointPod", pod_sandbox_id="x")
        client.close()


class Hangs:
    """An answer that takes until the client goes away."""

    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()

    def __call__(self, _: dict[str, Any], context: grpc.ServicerContext) -> dict[str, Any]:
        context.add_callback(self.over.set)
        self.begun.set()
        self.over.wait(60)
        return {}


@pytest.mark.parametrize("cancels", [False, True], ids=["a deadline", "a client that gives up"])
def test_an_engine_that_hangs_is_not_waited_for(node: FolderNode, *, cancels: bool) -> None:
    hangs = Hangs()
    with serving(node.path(SOCKET), {"CheckpointContainer": hangs}):
        client = Client(node, None, SOCKET)
        call = client.begin("CheckpointContainer", seconds=60 if cancels else 0.2, container_id="x", location="/a")
        if cancels:
            hangs.begun.wait(60)
            call.cancel()
        with pytest.raises(CommandFailed if cancels else DeadlineExceeded):
            call.answer()
        assert hangs.over.wait(60), "the engine is told"
        client.close()


@pytest.mark.parametrize("how", GivesUp)
def test_an_engine_is_told_that_its_caller_gives_up(node: FolderNode, how: GivesUp) -> None:
    hangs = Hangs()
    with serving(node.path(SOCKET), {"CheckpointContainer": hangs}):
        client = Client(node, None, SOCKET)
        node.patience = Patience(0.2, how)
        with pytest.raises(GivenUp, match=r"^CheckpointContainer on /cri\.sock of folder was given up on after"):
            client.call("CheckpointContainer", container_id="x", location="/a")
        assert hangs.over.wait(60)
        assert node.patience is None
        client.close()
    assert [command.exit_code for command in node.journal.commands] == [CODES[how]]


def test_fields_that_are_not_known_are_ignored(node: FolderNode) -> None:
    class Newer(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
            return grpc.unary_unary_rpc_method_handler(lambda *_: b"\x12\x01x\xfa\x7f\x03new")

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Newer()])
    server.add_insecure_port(f"unix:{node.path(SOCKET)}")
    server.start()
    client = Client(node, None, SOCKET)
    assert client.call("Version").runtime_name == "x"
    client.close()
    server.stop(grace=None).wait()


@pytest.mark.parametrize("what", ["nothing", "a file"])
def test_what_is_no_socket_is_told_before_any_call(node: FolderNode, what: str) -> None:
    if what == "a file":
        node.put(SOCKET, "")
    with pytest.raises(EnvironmentUnfit, match=r"/cri\.sock on folder is no socket"):
        Client(node, None, SOCKET)


def test_somebody_who_does_not_speak_the_protocol_is_no_engine(node: FolderNode) -> None:
    with sockets.socket(sockets.AF_UNIX) as listening:
        listening.bind(str(node.path(SOCKET)))
        listening.listen()

        def talk() -> None:
            with listening.accept()[0] as other:
                other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=talk, daemon=True).start()
        client = Client(node, None, SOCKET)
        assert not client.answers()
        with pytest.raises((CommandFailed, DeadlineExceeded)):
            client.call("Version", seconds=2)
        client.close()


def test_a_call_in_the_shell_of_a_node_is_made_as_in_the_trial(node: FolderNode) -> None:
    answer = Trials(node).answer
    words = f'cri {SOCKET} RunPodSandbox {{"config": {{"metadata": {{"name": "a pod"}}}}}}'.split()
    answers: Answers = {"Version": lambda *_: {}, "RunPodSandbox": lambda *_: {"pod_sandbox_id": "c0ffee"}}
    with serving(node.path(SOCKET), answers) as asked:
        assert answer(words, "") == (0, '{"pod_sandbox_id": "c0ffee"}\n')
    assert asked[-1] == ("RunPodSandbox", {"config": {"metadata": {"name": "a pod"}}})


def test_what_an_engine_declines_in_a_shell_has_its_code(node: FolderNode) -> None:
    with serving(node.path(SOCKET), {"Version": lambda *_: {}, "StopContainer": declines}):
        told = Trials(node).answer(["cri", SOCKET, "StopContainer", "{}"], "")
    assert told == (NOT_FOUND, 'container "x": not found\n')


def test_an_answer_is_in_the_journal_for_the_ids_in_it(node: FolderNode) -> None:
    with serving(node.path(SOCKET), {"RunPodSandbox": lambda *_: {"pod_sandbox_id": "c0ffee"}}):
        client = Client(node, None, SOCKET)
        client.call("RunPodSandbox", config={"metadata": {"name": "a"}})
        client.close()
    assert node.journal.commands[0].stdout == '{"pod_sandbox_id": "c0ffee"}'


@pytest.mark.parametrize("name", ["CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN"])
def test_an_engine_that_fails_early_has_not_been_given_up_on(node: FolderNode, name: str) -> None:
    def declines(_: dict[str, Any], context: grpc.ServicerContext) -> dict[str, Any]:
        context.abort(grpc.StatusCode[name], "not today")
        return {}

    with serving(node.path(SOCKET), {"CheckpointContainer": declines}):
        client = Client(node, None, SOCKET)
        for patience in (None, *(Patience(60, how) for how in GivesUp)):
            node.patience = patience
            with pytest.raises(CommandFailed, match=f"failed: {name}: not today") as raised:
                client.call("CheckpointContainer", container_id="x", location="/a")
            assert raised.value.runtime
        client.close()


@pytest.mark.parametrize("patient", [False, True])
def test_an_engine_that_answers_a_deadline_before_our_own_timer_was_given_up_on(
    node: FolderNode, monkeypatch: pytest.MonkeyPatch, *, patient: bool
) -> None:
    def declines(_: dict[str, Any], context: grpc.ServicerContext) -> dict[str, Any]:
        context.abort(grpc.StatusCode.UNKNOWN, "context deadline exceeded")
        return {}

    with serving(node.path(SOCKET), {"CheckpointContainer": declines}):
        client = Client(node, None, SOCKET)
        node.patience = None if patient else Patience(60, GivesUp.DEADLINE)
        monkeypatch.setattr(clients, "NEARLY", 0.0)
        monkeypatch.setattr(Patience, "over", True)
        with pytest.raises(DeadlineExceeded, match="was not answered within" if patient else "was given up on after"):
            client.call("CheckpointContainer", container_id="x", location="/a")
        client.close()


def test_an_interrupt_ends_a_call_at_once(node: FolderNode, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = Hangs()

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with serving(node.path(SOCKET), {"CheckpointContainer": hangs}):
        client = Client(node, None, SOCKET)
        call = client.begin("CheckpointContainer", container_id="x", location="/a")
        assert hangs.begun.wait(60)
        monkeypatch.setattr(call._future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call.answer()
        assert hangs.over.wait(60), "the engine is told"
        assert [command.exit_code for command in node.journal.commands] == [grpc.StatusCode.CANCELLED.value[0]]
        client.close()
