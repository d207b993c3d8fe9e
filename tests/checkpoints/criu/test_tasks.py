"""Processes in CRIU's checkpoints, and in incomplete images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.criu.image import CORE, DESCRIPTORS, FILES, IDS, INVENTORY, LOCKS, PROCESSES, Kind
from harness.checkpoints.criu.tasks import IMAGES, MOST_TASKS, tasks
from harness.checkpoints.untrusted import Absent, Budget, Unreadable
from harness.model.description import Descriptors, Task, TaskState
from tests import real_images
from tests.real_images import CRIO, STILL, change, messages, unpacked

NONE = {"unix_sockets": 0, "inet_sockets": 0, "netlink_sockets": 0, "packet_sockets": 0, "terminals": 0}
LEDGER = Descriptors(total=5, files=2, pipes=2, **NONE)


def read(images: Path) -> dict[str, Task]:
    """Processes by name."""
    return {task.name: task for task in tasks(images, Budget())}


@pytest.fixture
def still(tmp_path: Path) -> Path:
    return unpacked(STILL, tmp_path)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return unpacked(real_images.PROCESSES[0], tmp_path)


@pytest.mark.parametrize(("name", "namespace"), [(STILL, 13), (CRIO, 12)])
def test_a_container_with_one_process(tmp_path: Path, name: str, namespace: int) -> None:
    (found,) = tasks(unpacked(name, tmp_path), Budget())
    assert found == Task(
        pid=1,
        parent=None,
        name="ledger",
        state=TaskState.RUNNING,
        threads=1,
        descriptors=LEDGER,
        locks=0,
        mount_namespace=namespace,
    )
    assert found.terminal is False


@pytest.mark.parametrize("name", real_images.PROCESSES)
def test_processes_of_each_state_with_descriptors_of_each_kind(tmp_path: Path, name: str) -> None:
    found = read(unpacked(name, tmp_path))
    assert list(found) == [
        "keeper",
        "gone",
        "halted \N{REPLACEMENT CHARACTER}",
        "many",
        "opener",
        "sharer",
        "shared",
        "typist",
    ]
    states = [task.state for task in found.values()]
    assert states == [TaskState.RUNNING, TaskState.ZOMBIE, TaskState.STOPPED, *[TaskState.RUNNING] * 5]
    assert [task.threads for task in found.values()] == [1, 1, 1, 4, 1, 1, 1, 1]
    parents = {task.parent for task in found.values() if task.name not in ("keeper", "shared")}
    assert (found["keeper"].parent, parents, found["shared"].parent) == (None, {1}, found["sharer"].pid)
    opener = found["opener"].descriptors
    assert opener == Descriptors(
        total=19, files=2, pipes=3, unix_sockets=2, inet_sockets=3, netlink_sockets=4, packet_sockets=1, terminals=0
    )
    assert (found["opener"].locks, sum(task.locks for task in found.values())) == (2, 2)
    assert found["shared"].descriptors == found["sharer"].descriptors == Descriptors(total=4, files=1, pipes=0, **NONE)
    assert [task.name for task in found.values() if task.terminal] == ["typist"]


def test_a_zombie_has_no_descriptors_and_no_namespace(many: Path) -> None:
    gone = read(many)["gone"]
    assert (gone.descriptors, gone.terminal, gone.mount_namespace) == (None, None, None)


def test_nothing_that_is_secret_or_a_path_is_told(still: Path) -> None:
    told = "".join(task.model_dump_json() for task in tasks(still, Budget()))
    assert "/" not in told
    assert "surface" not in told


def test_the_images_that_are_read_are_named(still: Path) -> None:
    for path in still.iterdir():
        if not IMAGES.fullmatch(path.name):
            path.unlink()
    assert read(still)["ledger"].descriptors == LEDGER


def test_tables_of_descriptors_that_are_numbered_by_process(many: Path) -> None:
    known = read(many)
    change(many / "inventory.img", INVENTORY, lambda found: found[0].ClearField("fdinfo_per_id"))
    tables = {
        task.pid: (many / f"fdinfo-{messages(many / f'ids-{task.pid}.img', IDS)[0].files_id}.img").read_bytes()
        for task in known.values()
        if task.state is not TaskState.ZOMBIE
    }
    for path in many.glob("fdinfo-*.img"):
        path.unlink()
    for number, data in tables.items():
        (many / f"fdinfo-{number}.img").write_bytes(data)
    assert read(many) == known
    for path in many.glob("ids-*.img"):
        path.unlink()
    assert read(many)["opener"].descriptors == known["opener"].descriptors


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("core-1.img", {"name": "", "state": None}),
        ("ids-1.img", {"descriptors": None, "mount_namespace": None}),
        ("fdinfo-2.img", {"descriptors": None}),
        ("inventory.img", {"descriptors": None}),
        ("files.img", {"descriptors": LEDGER.model_copy(update={"files": None})}),
    ],
)
def test_what_an_absent_image_would_tell_is_unknown(still: Path, name: str, unknown: dict[str, object]) -> None:
    (known,) = tasks(still, Budget())
    (still / name).unlink()
    (found,) = tasks(still, Budget())
    assert found == known.model_copy(update=unknown)


def test_files_without_modes_are_not_told_from_devices(still: Path) -> None:
    change(still / "files.img", FILES, lambda found: [each.reg.ClearField("mode") for each in found])
    descriptors = read(still)["ledger"].descriptors
    assert descriptors == LEDGER.model_copy(update={"files": None})


def test_a_state_or_a_kind_of_descriptor_that_is_new_is_not_taken_for_another(still: Path) -> None:
    change(still / "core-1.img", CORE, lambda found: setattr(found[0].tc, "task_state", 5))
    newer: Any = DESCRIPTORS.messages[0](type=99)
    change(still / "fdinfo-2.img", DESCRIPTORS, lambda found: [each.MergeFrom(newer) for each in found])
    found = read(still)["ledger"]
    assert found.state is None
    assert found.descriptors == Descriptors(total=5, files=0, pipes=0, **NONE)


def test_images_of_the_first_versions_have_the_numbers_beside_the_state(still: Path) -> None:
    (ids,) = messages(still / "ids-1.img", IDS)
    change(still / "core-1.img", CORE, lambda found: found[0].ids.CopyFrom(ids))
    (still / "ids-1.img").unlink()
    assert read(still)["ledger"].mount_namespace == 13


def test_without_a_tree_there_are_no_processes(still: Path) -> None:
    (still / "pstree.img").unlink()
    with pytest.raises(Absent, match=r"pstree.img cannot be read"):
        read(still)


def pid(number: int, parent: int) -> Any:
    return PROCESSES.messages[0](pid=number, ppid=parent, threads=[number])


@pytest.mark.parametrize(
    ("name", "kind", "how", "word"),
    [
        ("pstree.img", PROCESSES, list.clear, "has no process"),
        ("pstree.img", PROCESSES, lambda found: found.append(pid(1, 1)), "process 1 does not fit into its tree"),
        ("pstree.img", PROCESSES, lambda found: found.append(pid(2, 0)), "process 2 does not fit into its tree"),
        ("pstree.img", PROCESSES, lambda found: found.append(pid(2, 7)), "process 2 does not fit into its tree"),
        ("pstree.img", PROCESSES, lambda found: found.insert(0, pid(2, 1)), "process 2 does not fit into its tree"),
        ("pstree.img", PROCESSES, lambda found: found.append(pid(0, 1)), "process 0 does not fit into its tree"),
        ("pstree.img", PROCESSES, lambda found: found[0].ClearField("threads"), "process 1 does not fit into its tree"),
        ("core-1.img", CORE, list.clear, "core-1.img is damaged: it is empty"),
        ("core-1.img", CORE, lambda found: found[0].ClearField("tc"), "no state of a process"),
        ("core-1.img", CORE, lambda found: setattr(found[0].tc, "comm", b"x" * 16), "name has 16 bytes"),
        ("files.img", FILES, lambda found: found.pop(1), "names file 2, which files.img does not have"),
    ],
)  # fmt: skip
def test_images_that_contradict_each_other_are_declined(
    still: Path, name: str, kind: Kind, how: Callable[[list[Any]], object], word: str
) -> None:
    change(still / name, kind, how)
    with pytest.raises(Unreadable, match=word):
        read(still)


@pytest.mark.parametrize(
    "name", ["pstree.img", "core-1.img", "ids-1.img", "fdinfo-2.img", "inventory.img", "files.img", "filelocks.img"]
)
def test_what_is_there_and_no_image_is_declined(still: Path, name: str) -> None:
    (still / name).unlink(missing_ok=True)
    (still / name).symlink_to("pstree.img")
    with pytest.raises(Unreadable):
        read(still)
    (still / name).unlink()
    (still / name).write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(Unreadable, match="or is compressed"):
        read(still)


def test_a_lock_of_a_process_that_is_not_there_is_nobody_s(still: Path) -> None:
    lock: Any = LOCKS.messages[0]
    (still / "filelocks.img").write_bytes(LOCKS.magic)
    change(still / "filelocks.img", LOCKS, lambda found: found.extend([lock(pid=1), lock(pid=7)]))
    assert read(still)["ledger"].locks == 1


def test_there_is_an_end_to_processes_and_to_what_they_cost(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="more than 9 parts"):
        tasks(many, Budget(parts=9))
    assert MOST_TASKS >= 1 << 15, "Linux's own limit unless told otherwise"
    monkeypatch.setattr("harness.checkpoints.criu.tasks.MOST_TASKS", 7)
    with pytest.raises(Unreadable, match="more than 7 processes"):
        read(many)
