"""The Docker engine's SDK over the socket of an engine in a node; the node's journal keeps the requests.

A request that changes something, or waits for the engine, is journalled as an equal curl(1) command for a shell of the
node. Every failure is raised as a `StillframeError` with the engine's own message.
"""

from __future__ import annotations

import json
import shlex
import socket as sockets
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from docker.types import LogConfig, Mount

from harness.host.wait import until
from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, GivenUp
from harness.stacks.daemon import Daemon
from harness.stacks.node import Node

VERSION = "1.44"
"""Version of the API: the oldest one in Docker 29; every release since 25 has it."""
READ_ONLY = ("GET", "HEAD")
PING = "/_ping"
HTTP_ERROR = 400
CURL_HTTP_ERROR = 22
CURL_NO_CONNECTION = 7
END_SECONDS = 2.0
SOONEST_SECONDS = 0.001
"""The library has no shorter timeout."""


class JournalledClient(docker.APIClient):  # type: ignore[misc]  # it has no types
    """A client of the engine that `daemon` is, if it is one of ours; `socket` is a path in the node."""

    def __init__(self, node: Node, daemon: Daemon | None, socket: str, *, timeout: float) -> None:
        super().__init__(base_url=f"unix://{node.path(socket)}", version=VERSION, timeout=timeout)
        self.trust_env = False  # ignore the user's proxies and passwords
        self._node = node
        self._daemon = daemon
        self._socket = socket

    def answers(self) -> bool:
        """Return whether the engine answers."""
        try:
            return bool(self.ping())
        except CommandFailed:
            return False

    def host_config(self, mounts: Iterable[tuple[str, str, str]], *, logs: bool, **more: Any) -> dict[str, Any]:
        """Build a container's options; mounts are kind, source and target; with `logs` the engine keeps its output."""
        kind = LogConfig.types.JSON if logs else LogConfig.types.NONE
        options = [Mount(target, source or None, type=kind_of) for kind_of, source, target in mounts]
        found: dict[str, Any] = self.create_host_config(mounts=options, log_config=LogConfig(type=kind), **more)
        return found

    def at(self, path: str) -> str:
        """Return the address of a resource, for a request without a method in the SDK."""
        return f"{self.base_url}/v{VERSION}{path}"

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send the request and return the engine's answer.

        Raises `CommandFailed` with the engine's message if the engine declines, `DeadlineExceeded` if it does not
        answer in time, and `EnvironmentUnfit` if it has ended.
        """
        options["timeout"] = options.get("timeout") or self.timeout  # for some requests the SDK sets no limit
        patience = self._node.patience
        if patience:
            options["timeout"] = min(options["timeout"], max(patience.left, SOONEST_SECONDS))
        start, begun = time.time_ns(), time.monotonic()
        code, said = None, ""
        argv = self._curl(request)
        waits = str(request.url).endswith(PING)
        line = f"{shlex.join(argv)} on {self._node.stack}"
        try:
            self._knock()
            response: requests.Response = super().send(request, **options)
            code = CURL_HTTP_ERROR if response.status_code >= HTTP_ERROR else 0
            said = response.content.decode(errors="replace")
        except requests.Timeout as error:
            if patience:
                self._node.patience = None
                raise GivenUp(f"{line} was given up on after {time.monotonic() - begun:.3f} s") from error
            late = f"{line} was not answered within {options['timeout']:g} s"
            raise DeadlineExceeded(late, log=self._node.look()) from error
        except requests.ConnectionError as error:
            code = CURL_NO_CONNECTION
            if not waits:
                self._see_whether_it_ended(error)
            raise CommandFailed(f"{line} was not answered, although the engine runs", runtime=True) from error
        finally:
            if waits or request.method not in READ_ONLY:
                self._node.note(
                    Command(
                        argv=argv,
                        where=self._node.stack,
                        stage=self._node.journal.stage,
                        runtime=True,
                        exit_code=code,
                        start_ns=start,
                        seconds=time.monotonic() - begun,
                        stdout=said,
                    )
                )
        if code:
            message = _message(said)
            what = f"{line} failed with status {response.status_code}: {message}"
            raise CommandFailed(what, stdout=said, stderr=message, exit_code=code, runtime=True)
        return response

    def _knock(self) -> None:
        """Raise `requests.ConnectionError` if the engine does not listen: the SDK would leave a socket open."""
        with sockets.socket(sockets.AF_UNIX) as knocking:
            try:
                knocking.connect(str(self._node.path(self._socket)))
            except OSError as error:
                raise requests.ConnectionError(str(error)) from error

    def _see_whether_it_ended(self, why: Exception) -> None:
        if self._daemon is None:
            return
        try:
            until(self._daemon.check, seconds=END_SECONDS, what="the end of the engine")
        except DeadlineExceeded:
            pass
        except EnvironmentUnfit as ended:
            raise ended from why

    def _curl(self, request: requests.PreparedRequest) -> tuple[str, ...]:
        """Return the request as a curl command; curl reads a body from a file by its path in the node."""
        words = ["curl", "--unix-socket", self._socket, "--fail-with-body", "-sS", "-X", str(request.method)]
        body: Any = request.body
        if body:
            words += ["-H", f"Content-Type: {request.headers.get('Content-Type', 'application/x-tar')!s}"]
            if hasattr(body, "name"):
                words += ["--data-binary", f"@{body.name.removeprefix(str(self._node.path('')))}"]
            else:
                words += ["-d", body.decode() if isinstance(body, bytes) else body]
        address = urlsplit(str(request.url))
        return (*words, address._replace(scheme="http").geturl())


def _message(said: str) -> str:
    try:
        return str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        return said.strip()
