"""Docker: an engine that somebody else has started."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from harness.host.process import Patience
from harness.model.errors import CommandFailed, GivenUp
from harness.model.readings import GivesUp
from harness.runtimes.contract import Checkpoint, ContainerSpec
from harness.runtimes.docker import CONTAINERS, SOCKET, DockerRunc
from tests.folder_node import FolderNode

SPEC = ContainerSpec(
    name="clone", image="workload", argv=("/ledger",), folder="/c", report="/c/report", report_mount="/report"
)


class Engine(BaseHTTPRequestHandler):
    """Knows one container."""

    def do_GET(self) -> None:
        known = self.path.endswith("/containers/clone/json")
        self.answer(200 if known else 404, {"Id": "c0ffee"} if known else {"message": "No such container"})

    def do_POST(self) -> None:
        """Take any checkpoint; the files are the test's."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, {})

    def answer(self, code: int, what: dict[str, str]) -> None:
        said = json.dumps(what).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def node(tmp_path: Path) -> FolderNode:
    return FolderNode(tmp_path)


@pytest.fixture
def engine(node: FolderNode) -> Iterator[None]:
    node.path(SOCKET).parent.mkdir(parents=True)
    with socketserver.ThreadingUnixStreamServer(str(node.path(SOCKET)), Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.mark.usefixtures("engine")
def test_the_engine_is_asked_who_a_container_is_that_somebody_else_has_started(node: FolderNode) -> None:
    found = DockerRunc(node, DockerRunc.ways[0]).known(SPEC)
    assert (found.name, found.id, found.cgroup) == ("clone", "c0ffee", node.freezer("docker/c0ffee"))
    assert node.journal.commands == []


@pytest.mark.usefixtures("engine")
def test_a_checkpoint_that_went_with_its_container_was_declined(node: FolderNode) -> None:
    docker = DockerRunc(node, DockerRunc.ways[0])
    checkpoint = Checkpoint(docker.known(SPEC), "/checkpoints/checkpoint-1")
    node.make(checkpoint.folder)
    with pytest.raises(CommandFailed, match="checkpoint-1 went with its container, which was") as declined:
        docker.live_checkpoint(checkpoint)
    assert declined.value.runtime
    node.put(f"{CONTAINERS}/c0ffee/checkpoints/checkpoint-1/pages-1.img", "")
    docker.live_checkpoint(checkpoint)
    assert [path.name for path in node.path(checkpoint.images).iterdir()] == ["pages-1.img"]


def test_without_an_engine_the_request_is_told(node: FolderNode) -> None:
    with pytest.raises(CommandFailed, match="containers/clone/json on folder was not answered"):
        DockerRunc(node, DockerRunc.ways[0]).known(SPEC)


def test_an_engine_sees_the_connection_of_who_gives_up_close(node: FolderNode) -> None:
    node.path(SOCKET).parent.mkdir(parents=True)
    closed = threading.Event()

    class Hangs(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(20)
            while self.request.recv(4096):
                """Take the request, and wait until the client closes the connection."""
            closed.set()

    with socketserver.ThreadingUnixStreamServer(str(node.path(SOCKET)), Hangs) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        node.patience = Patience(0.2, GivesUp.KILLED)
        with pytest.raises(GivenUp, match="containers/clone/json on folder was given up on after"):
            DockerRunc(node, DockerRunc.ways[0]).known(SPEC)
        assert node.patience is None
        server.shutdown()
    assert closed.is_set()
