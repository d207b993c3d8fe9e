"""What counts as a difference between a source and its restored container, and what does not."""

from __future__ import annotations

import pytest

from harness.model.readings import Aspect, Difference
from harness.sameness.compare import compared
from harness.sameness.facts import FACTS, OWN, Facts, Key

NODE = "the node's"


def facts(values: dict[Key, str], *names: str) -> Facts:
    return Facts(values, names)


def differences(key: Key, before: str, after: str, *workarounds: str) -> tuple[Difference, ...]:
    """Compare a container that differs in one fact alone; an empty value is a fact that is absent."""
    other = {Key(1, "umask"): "0022"}
    source = facts({key: before, **other} if before else other)
    clone = facts({key: after, **other} if after else other)
    return compared([source, source], [clone], workarounds).differences


@pytest.mark.parametrize(
    ("fact", "of", "before", "after"),
    [
        ("user ids", "", "1000 1000 1000 1000", "1000 0 1000 1000"),
        ("group ids", "", "5 5 5 5", "0 0 0 0"),
        ("groups", "", "", "0"),
        ("effective capabilities", "", "00000000a80425fb", "000001ffffffffff"),
        ("bounding capabilities", "", "0000000000000000", "0000000000000001"),
        ("no_new_privs", "", "1", "0"),
        ("seccomp mode", "", "2", "0"),
        ("seccomp filters", "", "2", "1"),
        ("security label", "", "docker-default (enforce)", "unconfined"),
        ("security label", "", "container_t:s0:c1,c2", ""),
        ("namespace", "cgroup", OWN, NODE),
        ("namespace", "net", OWN, "the machine's"),
        ("mount", "/proc/timer_list", "ro nosuid private tmpfs", "rw nosuid private tmpfs"),
        ("mount", "/sys/firmware", "ro nosuid private tmpfs", ""),
        ("mount", "/sys/fs/cgroup", "ro nosymfollow private cgroup2", "ro private cgroup2"),
        ("mount", "/data", "rw nosuid private ext4", "rw private ext4"),
        ("mount", "/data", "rw private ext4", "rw shared ext4"),
        ("device programs", "", "1", "0"),
    ],
)
def test_less_confined_is_told(fact: str, of: str, before: str, after: str) -> None:
    (found,) = differences(Key(1, fact, of), before, after)
    assert found.less_confined
    assert str(found).startswith(f"less confined: {fact} {of}".rstrip())
    assert not any(each.less_confined for each in differences(Key(1, fact, of), after, before))


@pytest.mark.parametrize(
    ("fact", "before", "after"),
    [
        ("resource limit", "1024 4096", "1024 unlimited"),
        ("group limit", "100", "max"),
        ("group limit", "100000 100000", "max 100000"),
        ("group limit", "100", ""),
        ("oom_score_adj", "500", "0"),
        ("nice", "5", "0"),
    ],
)
def test_a_looser_limit_is_weaker_and_not_less_confined(fact: str, before: str, after: str) -> None:
    (found,) = differences(Key(1, fact), before, after)
    assert (found.weaker, found.less_confined, found.aspect) == (True, False, Aspect.LIMITS)
    assert not any(each.weaker for each in differences(Key(1, fact), after, before))


@pytest.mark.parametrize("fact", [name for name in FACTS if name != "umask"])
def test_every_fact_is_compared_and_may_come_and_go(fact: str) -> None:
    key = Key(1, fact, "x")
    for before, after in (("1", "2"), ("1", ""), ("", "1")):
        (found,) = differences(key, before, after)
        assert (found.before, found.after, found.aspect) == (before, after, FACTS[fact].aspect)
    assert differences(key, "1", "1") == ()


def test_what_the_source_changes_by_itself_is_not_compared() -> None:
    key = Key(1, "offset", "of descriptor 3")
    found = compared([facts({key: "1"}), facts({key: "2"})], [facts({key: "9"})])
    assert (found.compared, found.differences) == (0, ())
    came, new = Key(1, "descriptor", "4"), Key(1, "descriptor", "5")
    restored = facts({key: "1", came: "x", new: "socket"})
    found = compared([facts({key: "1"}), facts({key: "1", came: "pipe"})], [restored])
    assert [each.fact for each in found.differences] == ["descriptor 5"]


def test_what_the_restored_container_changes_by_itself_is_not_compared() -> None:
    key, other = Key(1, "descriptor", "4"), Key(1, "descriptor", "3")
    source = facts({other: "file"})
    opened, closed = facts({other: "file", key: "file"}), facts({other: "file"})
    assert [each.fact for each in compared([source, source], [opened]).differences] == ["descriptor 4"]
    assert compared([source, source], [opened, closed]).differences == ()
    assert compared([opened, opened], [closed, opened]).differences == ()


def test_the_containers_own_names_may_differ_and_a_name_that_was_kept_is_the_same() -> None:
    group, host = Key(1, "control group", "unified"), Key(None, "host name")
    source = facts({group: "/engine/c0ffee", host: "c0ffee"}, "c0ffee")
    assert compared([source, source], [facts({group: "/engine/beef", host: "c0ffee"}, "beef")]).differences == ()
    assert compared([source, source], [facts({group: "/engine/beef", host: "beef"}, "beef")]).differences == ()
    (found,) = compared([source, source], [facts({group: "/beef", host: "beef"}, "beef")]).differences
    assert str(found) == "control group unified of process 1: /engine/NAME before, /NAME after"


def test_a_process_that_the_restored_container_lacks_is_said_and_its_facts_are_not_differences() -> None:
    first, second = Key(1, "umask"), Key(2, "umask")
    source = facts({first: "0022", second: "0022"})
    found = compared([source, source], [facts({first: "0022", Key(3, "umask"): "0077"})])
    assert (found.compared, found.differences) == (1, ())
    assert found.uncompared == ("process 2 of the source: the restored container has none of this number",)


def test_a_thread_that_has_ended_is_counted_and_one_that_differs_is_told() -> None:
    ended, number = Key(1, "seccomp mode", "of thread 7"), Key(1, "threads")
    source = facts({ended: "2", number: "2"})
    assert [each.fact for each in compared([source, source], [facts({number: "1"})]).differences] == ["threads"]
    (found,) = compared([source, source], [facts({ended: "0", number: "2"})]).differences
    assert str(found).startswith("less confined: seccomp mode of thread 7 of process 1")


def test_what_could_not_be_read_is_said_once() -> None:
    source = Facts({}, unread={(None, "interface"): "not permitted"})
    assert compared([source, source], [source]).uncompared == ("interface: not permitted",)


def test_a_fact_that_one_look_could_not_read_is_no_difference() -> None:
    limit, umask = Key(1, "resource limit", "open files"), Key(1, "umask")
    source = facts({limit: "1 1", umask: "0022"})
    blind = Facts({umask: "0022"}, unread={(1, "resource limit"): "limits: No such file or directory"})
    for before, after, restored in ((source, source, blind), (blind, source, source), (source, blind, source)):
        found = compared([before, after], [restored])
        assert (found.compared, found.differences) == (1, ())
        assert found.uncompared == ("resource limit of process 1: limits: No such file or directory",)


def test_a_workaround_of_the_machine_is_named_beside_what_it_causes_and_nothing_else() -> None:
    (found,) = differences(Key(1, "namespace", "cgroup"), OWN, NODE, "criu-cgroups")
    assert found.workaround == "criu-cgroups"
    (found,) = differences(Key(1, "namespace", "net"), OWN, NODE, "criu-cgroups")
    assert found.workaround == ""
    (found,) = differences(Key(1, "namespace", "cgroup"), OWN, NODE)
    assert found.workaround == ""
