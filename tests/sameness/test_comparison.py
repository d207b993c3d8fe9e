"""Which looks at a source count, and when nothing is compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from harness.runtimes.contract import Container
from harness.sameness import comparison
from harness.sameness.comparison import MOST_LOOKS, Comparison
from harness.sameness.facts import Facts, Key
from harness.stacks.node import Node

UMASK, NICE = Key(1, "umask"), Key(1, "nice")


class NodeOfOurs:
    """A node that has one workaround."""

    accommodations = {"criu-cgroups": None}  # noqa: RUF012


NODE, CONTAINER = cast(Node, NodeOfOurs()), cast(Container, None)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """What the next looks see."""
    found: list[Facts] = []
    seen: Iterator[Facts] = iter(lambda: found.pop(0), None)
    monkeypatch.setattr(comparison, "_look", lambda _node, _container: next(seen))
    return found


def test_of_several_generations_the_last_is_compared_with_the_first_source(looks: list[Facts]) -> None:
    first, heir = Facts({UMASK: "0022", NICE: "0"}), Facts({UMASK: "0077", NICE: "0"})
    looks += [first, first, *[heir] * 2 * MOST_LOOKS]
    trial = Comparison()
    trial.before(NODE, CONTAINER)
    trial.after(NODE, CONTAINER)
    assert [each.fact for each in trial.restored(NODE, CONTAINER).differences] == ["umask"]  # type: ignore[union-attr]
    trial.before(NODE, CONTAINER)
    trial.after(NODE, CONTAINER)
    assert [each.fact for each in trial.restored(NODE, CONTAINER).differences] == ["umask"]  # type: ignore[union-attr]


def test_without_both_looks_at_the_source_nothing_is_compared(looks: list[Facts]) -> None:
    looks += [Facts({UMASK: "0022"})] * 3
    trial = Comparison()
    assert trial.restored(NODE, CONTAINER) is None
    trial.before(NODE, CONTAINER)
    assert trial.restored(NODE, CONTAINER) is None


def test_the_workarounds_of_the_restoring_node_are_named(looks: list[Facts]) -> None:
    key = Key(1, "namespace", "cgroup")
    looks += [Facts({key: "its own"}), Facts({key: "its own"}), Facts({key: "the node's"})]
    trial = Comparison()
    trial.before(NODE, CONTAINER)
    trial.after(NODE, CONTAINER)
    assert [each.workaround for each in trial.restored(NODE, CONTAINER).differences] == ["criu-cgroups"]  # type: ignore[union-attr]


def test_a_difference_that_a_running_process_makes_for_a_moment_is_none(looks: list[Facts]) -> None:
    opened = Key(1, "descriptor", "4")
    plain, busy = Facts({UMASK: "0022"}), Facts({UMASK: "0022", opened: "/file"})
    looks += [plain, plain, busy, busy, plain]
    trial = Comparison()
    trial.before(NODE, CONTAINER)
    trial.after(NODE, CONTAINER)
    assert trial.restored(NODE, CONTAINER).differences == ()  # type: ignore[union-attr]
    assert looks == []


def test_of_a_source_with_locks_only_those_count_that_it_holds_all_the_time(looks: list[Facts]) -> None:
    kept, brief = Key(1, "lock", "of descriptor 3, bytes 1 to 1"), Key(1, "lock", "of descriptor 3, bytes 2 to 2")
    busy, idle = Facts({kept: "READ", brief: "WRITE"}), Facts({kept: "READ"})
    looks += [busy, busy, busy, idle, busy, busy, *[Facts({UMASK: "0022", NICE: "0"})] * MOST_LOOKS]
    trial = Comparison()
    trial.before(NODE, CONTAINER)
    trial.after(NODE, CONTAINER)
    found = trial.restored(NODE, CONTAINER)
    assert found is not None
    assert [each.fact for each in found.differences if each.fact.startswith("lock")] == [str(kept)]


def test_a_difference_in_confinement_needs_one_look(looks: list[Facts]) -> None:
    key = Key(1, "seccomp mode")
    looks += [Facts({key: "2"}), Facts({key: "2"}), Facts({key: "0"})]
    trial = Comparison()
    trial.before(NODE, CONTAINER)
    trial.after(NODE, CONTAINER)
    assert [each.fact for each in trial.restored(NODE, CONTAINER).differences] == ["seccomp mode"]  # type: ignore[union-attr]
