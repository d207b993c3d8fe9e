"""Conversations with engines, as they were recorded, and an engine that has them again.

`recordings/ENGINE-RUNTIME.json` has the calls of each scene in their order: the method, the request, and the answer, or
the status code and the message. An id has 12 of its 64 digits. `group` is the name that the engine gave a container's
control group. Each was recorded on the real engine of that version.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from harness.cri.client import Client
from harness.runtimes import adapter
from harness.runtimes.cri import Cri
from tests.cri.engine import serving
from tests.folder_node import FolderNode

FOLDER = Path(__file__).with_name("recordings")
RECORDINGS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
Exchange = dict[str, Any]


class Engine:
    """Answers as recorded, as long as it is asked the same; and shows containers' processes where the kernel does."""

    def __init__(self, node: FolderNode, exchanges: list[Exchange], group: str) -> None:
        self.node = node
        self.left = list(exchanges)
        self.strayed: list[str] = []
        self._group = group
        self._groups: dict[str, Path] = {}

    def answer(self, method: str, request: dict[str, Any], context: grpc.ServicerContext) -> dict[str, Any]:
        """Give the next answer of the recording."""
        said = self.left[0] if self.left else {}
        if (said.get("method"), said.get("request")) != (method, request):
            self.strayed.append(f"{method} {json.dumps(request)}")
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"the recording goes on with {json.dumps(said)}")
        del self.left[0]
        if "code" in said:
            context.abort(grpc.StatusCode[said["code"]], said["message"])
        self._act(method, request, said["answer"])
        return dict(said["answer"])

    def _act(self, method: str, request: dict[str, Any], answer: dict[str, Any]) -> None:
        identity = request.get("container_id", "")
        match method:
            case "CreateContainer":
                pod, made = request["sandbox_config"]["linux"]["cgroup_parent"], answer["container_id"]
                self._groups[made] = self.node.path(self.node.freezer(f"{pod.strip('/')}/{self._group.format(made)}"))
            case "StartContainer":
                self._groups[identity].mkdir(parents=True)
                (self._groups[identity] / "cgroup.procs").write_text("1\n", encoding="ascii")
                self.freeze(str(self._groups[identity].relative_to(self.node.root)), frozen=False)
            case "CheckpointContainer":
                self.freeze(str(self._groups[identity].relative_to(self.node.root)), frozen=False)
            case "StopContainer":
                shutil.rmtree(self._groups[identity], ignore_errors=True)

    def freeze(self, group: str, *, frozen: bool) -> None:
        """Freeze as the kernel does."""
        self.node.put(f"{group}/cgroup.events", f"populated 1\nfrozen {frozen:d}\n")


@contextlib.contextmanager
def playing(node: FolderNode, recording: str, scene: str) -> Iterator[Cri]:
    """Give an adapter whose engine has the recorded conversation; it must be had to its end."""
    said = RECORDINGS[recording]
    way = "same-pod" if scene.endswith("same pod") else ""
    cri = adapter(f"cri/{said['engine']}/{said['runtime']}", way)(node)
    assert isinstance(cri, Cri)
    engine = Engine(node, said["scenes"][scene], said["group"])
    node.freeze = engine.freeze  # type: ignore[method-assign]
    node.path(cri.engine.socket).parent.mkdir(parents=True)
    methods = {each["method"] for each in engine.left}
    with serving(node.path(cri.engine.socket), {each: partial(engine.answer, each) for each in methods}):
        cri._client = Client(node, None, cri.engine.socket)
        try:
            yield cri
        finally:
            cri._client.close()
    assert (engine.strayed, engine.left) == ([], [])
