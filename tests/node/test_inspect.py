"""The plain commands on a page make checkpoints that are inspected outside, and restored to the same counters."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from harness.host.wait import until
from harness.model.readings import Reading, Witness
from harness.oracle.inspection import inspect
from harness.oracle.judge import AGREEMENT_TICKS
from harness.oracle.processes import Teller
from harness.records.inspection import Finding, Inspection
from harness.runtimes.podman import PodmanRunc
from harness.runtimes.runc import Runc
from harness.stacks.node import Node
from harness.workload.messages import Beat, ReadingMessage, read_messages
from tests.docs.desk import Desk
from tests.docs.pages import run_as

WHERE = f"{Node.storage}/by-hand"


@pytest.fixture
def folder(node: Node, tmp_path: Path) -> Path:
    """The folder in which the commands are typed, as it is seen from the host."""
    node.run(["mkdir", WHERE])
    return node.path(WHERE)


def commands(program: str) -> str:
    """What is typed in the node, by the page's block about a program."""
    (block,) = (block for block in run_as("node") if f"\n{program} " in block.text)
    return block.text


def compile_here(folder: Path, tmp_path: Path) -> None:
    """Follow the page's block that makes the program: a node has no compiler."""
    (block,) = (block for block in run_as("user") if "\ncc " in block.text)
    desk = Desk(tmp_path)
    desk.follow(block, {})
    shutil.copy(desk.folder / "share/ledger", folder)


def typed(node: Node, lines: str) -> None:
    node.run(["bash", "-e", "-c", lines], cwd=WHERE, deadline=60)


def heard(folder: Path) -> list[Beat | ReadingMessage]:
    said = [each for _, each in read_messages(folder / "report")]
    return [each for each in said if isinstance(each, Beat | ReadingMessage)]


def ticking_first(lines: str, node: Node, folder: Path) -> None:
    """Type the lines, and let the workload tick before its checkpoint is taken, as somebody who types would."""
    start, checkpoint = re.split(r"\n(?=podman container checkpoint|runc pause)", lines)
    typed(node, start)
    until(lambda: any(said.n > 500 for said in heard(folder)), seconds=20, what="some ticks")
    typed(node, checkpoint)


def read(found: Inspection) -> Reading:
    """What was read of the one workload, which says itself which surfaces it has."""
    ((workload,),) = (each.workloads for each in found.checkpoints)
    assert (workload.name, workload.told_by) == ("ledger", Teller.ITSELF)
    assert [surface.surface for surface in workload.reading.surfaces] == ["added", "tmpfs"]
    return workload.reading


def assert_same_as_restored(found: Reading, node: Node, folder: Path, lines: str) -> None:
    """Restore, and compare with what the workload says first: what it held when it stood still."""
    typed(node, "rm report/*")
    typed(node, lines)
    said = until(lambda: heard(folder)[:1], seconds=20, what="a word of the restored workload")[0]
    assert isinstance(said, ReadingMessage)
    theirs = said.to_reading(Witness.RESTORED)
    assert found.nonce == theirs.nonce
    assert 0 <= theirs.counter - found.counter <= AGREEMENT_TICKS
    for offline, restored in zip(found.surfaces, theirs.surfaces, strict=True):
        assert offline.newest is not None
        assert restored.newest is not None
        assert abs(restored.newest - offline.newest) <= AGREEMENT_TICKS


def test_what_podman_exports_is_inspected_as_it_is_restored(node: Node, folder: Path, tmp_path: Path) -> None:
    lines = commands("podman")
    PodmanRunc(node, PodmanRunc.ways[0]).prepare()
    compile_here(folder, tmp_path)
    ticking_first(lines, node, folder)
    archive = tmp_path / "live.tar"
    archive.write_bytes((folder / "live.tar").read_bytes())
    typed(node, "podman rm --force --time 0 live")
    found = inspect(archive, {})
    assert found.finding in (Finding.CONSISTENT, Finding.INCONSISTENT)
    again = "podman container restore --import live.tar --name again"
    assert_same_as_restored(read(found), node, folder, again)
    typed(node, "podman rm --force --time 0 again")


def test_what_an_oci_runtime_writes_is_inspected_as_it_is_restored(node: Node, folder: Path, tmp_path: Path) -> None:
    lines = commands("runc")
    Runc(node, Runc.ways[0]).prepare()
    compile_here(folder, tmp_path)
    ticking_first(lines, node, folder)
    found = inspect(folder / "images", {"/": folder / "disk"})
    assert found.finding is Finding.CONSISTENT
    typed(node, "runc kill live KILL; umount rootfs; rm -r upper work; cp --archive disk upper; mkdir work")
    again = """mount -t overlay overlay -o lowerdir=image,upperdir=upper,workdir=work rootfs
    runc restore --detach --image-path images again < /dev/null > /dev/null 2>&1"""
    assert_same_as_restored(read(found), node, folder, again)
    typed(node, "runc kill again KILL")
