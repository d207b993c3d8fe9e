"""A CRI server in this process, which answers as it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from harness.cri.messages import TYPES

Answers = dict[str, Callable[[dict[str, Any], grpc.ServicerContext], dict[str, Any]]]
"""By method: takes the request and returns the answer, or ends the call through the context."""


def encoded(message: Any) -> bytes:
    """Return the bytes of an answer."""
    return bytes(message.SerializeToString())


class Handler(grpc.GenericRpcHandler):
    """Answers the methods in `answers`; others are not implemented."""

    def __init__(self, answers: Answers, asked: list[tuple[str, dict[str, Any]]]) -> None:
        self.answers = answers
        self.asked = asked

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = call.method.rpartition("/")[2]
        if method not in self.answers:
            return None

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            said = json_format.MessageToDict(request, preserving_proto_field_name=True)
            self.asked.append((method, said))
            return json_format.ParseDict(self.answers[method](said, context), TYPES[f"{method}Response"]())

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=TYPES[f"{method}Request"].FromString,
            response_serializer=lambda message: encoded(message),  # noqa: PLW0108  # a test may replace it
        )


@contextlib.contextmanager
def serving(socket: Path, answers: Answers) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Serve at `socket`; gives what was asked."""
    asked: list[tuple[str, dict[str, Any]]] = []
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler(answers, asked)])
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield asked
    finally:
        server.stop(grace=None).wait()
