"""A real stack for the tests that need root; built once per cache."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.host import audit
from harness.run.flags import default_cache
from harness.stacks import build, definition
from harness.stacks.node import Node

STACK = "debian-trixie"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.node)


@pytest.fixture(scope="session")
def stack_root() -> Path:
    return build.prepare(definition.load(STACK), default_cache(), mirror=None, progress=print)


@pytest.fixture
def start(stack_root: Path) -> Iterator[Callable[[str], Node]]:
    nodes = []

    def start(name: str) -> Node:
        nodes.append(Node(STACK, stack_root, name=name))
        return nodes[-1]

    yield start
    for node in nodes:
        node.end()


@pytest.fixture
def node(start: Callable[[str], Node]) -> Node:
    return start("test")


@pytest.fixture
def _alone() -> Iterator[None]:
    """Whatever worker it is on, a test sees no node of another one; some kill what supervises theirs."""
    with Path(__file__).open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(autouse=True)
def nothing_left_on_the_host(_alone: None) -> Iterator[None]:
    before = audit.of_host()
    yield
    assert audit.of_host().leaks(before) == ()
