"""A client of CRI on a node's socket; its calls stand in the journal as `cri SOCKET METHOD JSON`."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import json_format

from harness.cri.codes import PROGRAM, UNIMPLEMENTED
from harness.cri.messages import PACKAGE, TYPES, address
from harness.host.wait import until
from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, GivenUp
from harness.model.readings import GivesUp
from harness.stacks.daemon import Daemon
from harness.stacks.node import Node

SECONDS = 60.0
READY_SECONDS = 30.0
ANSWER_SECONDS = 5.0
END_SECONDS = 2.0
NEARLY = 0.99
"""Part of a deadline after which it counts as over: clocks and timers differ a little."""
MOST_BYTES = 16 << 20
"""Maximum size of an answer, as the kubelet has it."""
READ_ONLY = frozenset({"Version", "ContainerStatus", "ListContainers", "ImageStatus"})
"""Methods that change nothing: a replay does not need them."""


class Client:
    """A client of the engine that is `daemon`, if it is one of ours; `socket` is a path in the node."""

    def __init__(self, node: Node, daemon: Daemon | None, socket: str) -> None:
        """Wait for the socket: a channel that was opened before it waits for seconds before it tries again."""
        self.node = node
        self.socket = socket
        self._daemon = daemon
        path = node.path(socket)
        if daemon is None:
            if not path.is_socket():
                raise EnvironmentUnfit(f"{socket} on {node.stack} is no socket", remedy="Start the engine.")
        else:
            daemon.await_answer(path.is_socket, seconds=READY_SECONDS)
        options = [("grpc.default_authority", "localhost"), ("grpc.max_receive_message_length", MOST_BYTES)]
        self._channel = grpc.insecure_channel(f"unix:{path}", options=options)

    def close(self) -> None:
        """Close the connection; calls that have not ended are cancelled."""
        self._channel.close()

    def answers(self) -> bool:
        """Return whether the engine answers; `EnvironmentUnfit` if it speaks another version of CRI, or none."""
        try:
            return bool(self.call("Version", seconds=ANSWER_SECONDS))
        except DeadlineExceeded:
            return False
        except CommandFailed as error:
            if error.code == UNIMPLEMENTED:
                what = f"{self.socket} on {self.node.stack} does not speak CRI's {PACKAGE}: {error.stderr}"
                raise EnvironmentUnfit(what, remedy="Use a newer version of the engine.") from error
            return False

    def call(self, method: str, *, seconds: float = SECONDS, **fields: Any) -> Any:
        """Call a method and return its answer.

        Raises `CommandFailed` with the engine's message if the engine declines, `DeadlineExceeded` if it does not
        answer in time, and `EnvironmentUnfit` if it has ended.
        """
        return self.begin(method, seconds=seconds, **fields).answer()

    def begin(self, method: str, *, seconds: float = SECONDS, **fields: Any) -> Call:
        """Begin a call; `seconds`: deadline, which the engine is told, too, as is that of an impatient caller."""
        patience = self.node.patience
        if patience and patience.how is GivesUp.DEADLINE:
            seconds = min(seconds, patience.left)
        stub: grpc.UnaryUnaryMultiCallable[Any, Any] = self._channel.unary_unary(
            address(method),
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=TYPES[f"{method}Response"].FromString,
        )
        request = json_format.ParseDict(fields, TYPES[f"{method}Request"]())
        argv = (PROGRAM, self.socket, method, json.dumps(fields))
        return Call(self, argv, lambda: stub.future(request, timeout=seconds), seconds=seconds)

    def see_whether_it_ended(self) -> None:
        """Raise `EnvironmentUnfit` if the engine is ours and has ended."""
        if self._daemon is not None:
            with contextlib.suppress(DeadlineExceeded):
                until(self._daemon.check, seconds=END_SECONDS, what="the end of the engine")


class Call:
    """A call that has begun."""

    def __init__(self, client: Client, argv: tuple[str, ...], begin: Callable[[], Any], *, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._argv = argv
        self._start, self._begun = time.time_ns(), time.monotonic()
        self._future = begin()

    def cancel(self) -> None:
        """Cancel the call, as a client does that has ended."""
        self._future.cancel()

    def answer(self) -> Any:
        """Wait for the answer; raises what `Client.call` raises, also for a call that was cancelled.

        The engine knows the deadline, too, and may answer first when it has passed; earlier, its answer is its own.
        """
        answer, code, said = None, grpc.StatusCode.CANCELLED, "given up"
        patience = self._client.node.patience
        try:
            answer = self._future.result(patience.left if patience and patience.how is GivesUp.KILLED else None)
            code, said = grpc.StatusCode.OK, ""
        except grpc.FutureTimeoutError:
            pass
        except grpc.FutureCancelledError:
            said = "cancelled"
        except grpc.RpcError as error:
            code, said = error.code(), str(error.details())
        finally:
            if code is grpc.StatusCode.CANCELLED:
                self.cancel()
            self._note(answer, code, said)
        if code is grpc.StatusCode.OK:
            return answer
        line = f"{self._argv[2]} on {self._argv[1]} of {self._client.node.stack}"
        took = time.monotonic() - self._begun
        if patience and (patience.over or said == "cancelled"):
            self._client.node.patience = None
            raise GivenUp(f"{line} was given up on after {took:.3f} s")
        if took >= NEARLY * self._seconds:
            raise DeadlineExceeded(f"{line} was not answered within {took:.1f} s", log=self._client.node.look())
        if code is grpc.StatusCode.UNAVAILABLE:
            self._client.see_whether_it_ended()
        raise CommandFailed(f"{line} failed: {code.name}: {said}", stderr=said, exit_code=code.value[0], runtime=True)

    def _note(self, answer: Any, code: grpc.StatusCode, said: str) -> None:
        node = self._client.node
        if self._argv[2] not in READ_ONLY:
            node.note(
                Command(
                    argv=self._argv,
                    where=node.stack,
                    stage=node.journal.stage,
                    runtime=True,
                    exit_code=code.value[0],
                    start_ns=self._start,
                    seconds=time.monotonic() - self._begun,
                    stdout=printable(answer) if answer is not None else "",
                    stderr=said,
                )
            )


def printable(answer: Any) -> str:
    """Write an answer as JSON on one line."""
    return json_format.MessageToJson(answer, preserving_proto_field_name=True, indent=None)
