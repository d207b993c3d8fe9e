"""The shell of a node, as a user has it: through the command line, with pipes, and with a folder of the host."""

from __future__ import annotations

import datetime as dt
import re
import subprocess  # noqa: TID251  # plays the user at the command line
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host import audit
from harness.host.wait import until
from harness.model.cells import Cell, FreezePolicy, Participant, Settings
from harness.model.expectations import differences
from harness.model.machine import HostFacts
from harness.model.outcomes import Outcome
from harness.oracle.inspection import inspect
from harness.records.inspection import Finding
from harness.records.plan import Plan
from harness.records.record import Record
from harness.run.flags import default_cache
from harness.trial.bench import Bench
from harness.trial.trial import Trial
from harness.workload.programs import compile_all
from reports.words.script import script
from tests.node.conftest import STACK

HOST = HostFacts(kernel="6.18", architecture="x86_64", cgroups="v2", cpus=4, memory_gib=15.6, os="Debian")
KNOWN = differences(dt.date.today())  # noqa: DTZ011
ROOT = Path(__file__).resolve().parents[2]
LATE = 120.0


def typed(lines: str, *options: str) -> tuple[int, str]:
    """Pipe lines into the shell of a fresh node; gives its exit code and all that it said, in order."""
    command = [sys.executable, "-m", "harness.commands.cli", "shell", STACK, *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as process:
        said, _ = process.communicate(lines, timeout=LATE)
    return process.returncode, said


def recorded(stack_root: Path, runtime: str, policy: FreezePolicy) -> Record:
    """A trial as a run records it."""
    who = Participant(runtime=runtime, stack=STACK)
    cell = Cell(workload="ledger", policy=policy, checkpoint=who, restore=who)
    plan = Plan(run="r", stillframe="0", created_ns=1, seed=7, rounds=1, cells=(cell,), host=HOST, differences=KNOWN)
    bench = Bench.open((who, ""), stack_root, compile_all(default_cache()), Settings())
    try:
        return Trial(bench, cell, plan, number=0, last=True).run()
    finally:
        bench.close()


def distance(said: str, surface: str) -> list[int]:
    """What the verdict's tables say of a surface: disk minus memory in ticks."""
    return [int(ticks.replace(",", "")) for ticks in re.findall(rf"^  {surface} .* ([+-][\d,]+) ticks?", said, re.M)]


@pytest.fixture(scope="module")
def of_runc(stack_root: Path) -> Record:
    return recorded(stack_root, "runc", FreezePolicy.NONE)


def test_the_commands_of_a_trial_end_with_its_verdict(of_runc: Record) -> None:
    assert of_runc.verdict.outcome is Outcome.INCONSISTENT, of_runc.verdict
    code, said = typed("\n".join(script(of_runc)))
    assert code == 1, said
    assert said.startswith(f"Running standard input in a node of {STACK}.\n")
    assert said.endswith("recorded: the same\n"), said
    assert "\nverdict: inconsistent: memory and disk are from different instants\nwhy: disk-ahead" in said
    offline, restored = distance(said, "added")
    assert offline > 1
    assert abs(offline - restored) <= 2
    assert distance(said, "tmpfs") == [0, 0]


def test_a_restore_that_fails_is_told_with_the_words_of_criu(of_runc: Record) -> None:
    lines = "\n".join(script(of_runc))
    (command,) = re.findall(r"^runc .* restore --detach .*$", lines, re.M)
    folder = re.findall(r"--image-path (\S+)", command)[0]
    code, said = typed(lines.replace(command, f"rm {folder}/pages-1.img\n{command}"))
    assert code == 1
    assert "\nverdict: restore-failed: the checkpoint could not be restored\nwhy: " in said
    assert re.search(r"^why: .*Error \(criu/.*$", said, re.M), said
    assert "recorded: inconsistent: " in said


@pytest.mark.parametrize(("runtime", "policy"), [("podman/crun", FreezePolicy.CGROUP), ("runsc", FreezePolicy.ENGINE)])
def test_what_was_held_still_is_consistent_again(stack_root: Path, runtime: str, policy: FreezePolicy) -> None:
    record = recorded(stack_root, runtime, policy)
    assert record.verdict.outcome is Outcome.CONSISTENT, record.verdict
    code, said = typed("\n".join(script(record)))
    assert code == 0, said
    assert said.endswith(
        "verdict: consistent: memory and every captured surface are of one instant\nrecorded: the same\n"
    )
    witnesses = 1 if runtime == "runsc" else 2
    for surface in ("added", "tmpfs"):
        found = distance(said, surface)
        assert len(found) == witnesses, said
        assert set(found) <= {-1, 0}


EXAMPLE = """\
cp /srv/stillframe/image/ledger .
mkdir data report
tar --create ledger data | podman import - localhost/ledger
podman run --detach --name live --network none --tmpfs /scratch --volume "$PWD/report:/report" localhost/ledger \\
    /ledger --period-us 100 --report /report --surface added=/data/added.ring --surface tmpfs=/scratch/tmpfs.ring
podman container checkpoint --leave-running --export /srv/share/live.tar --compress none live
"""
"""What a user is told to type."""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder outside of the cache, in which the tests of a checkout have their folders and which is not shared."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


def test_podman_works_as_it_is_and_its_checkpoint_gets_out(shared: Path) -> None:
    (shared / "in").write_text("brought in")
    code, said = typed(
        f"set -e\n{EXAMPLE}cat /srv/share/in\nfindmnt --noheadings --output OPTIONS /srv/share\nstillframe inspect x",
        *("--share", str(shared)),
    )
    assert code == 3
    assert f"On the host they are in {shared}.\n" in said
    assert "\nbrought in" in said
    assert re.search(r"rw,nosuid,nodev", said), said
    (found,) = inspect(shared / "live.tar", {}).checkpoints
    assert found.finding in (Finding.CONSISTENT, Finding.INCONSISTENT)
    assert [surface.surface for surface in found.workloads[0].reading.surfaces] == ["added", "tmpfs"]
    assert not mounted(shared)


def mounted(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]


@pytest.fixture
def before() -> audit.Snapshot:
    """What the host had before the shell."""
    return audit.of_host()


@pytest.fixture
def shell(before: audit.Snapshot, shared: Path) -> Iterator[subprocess.Popen[str]]:
    """A shell that waits for its next line."""
    command = [sys.executable, "-m", "harness.commands.cli", "shell", STACK, "--share", str(shared)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write("mkdir /srv/share/begun\n")
        process.stdin.flush()
        until((shared / "begun").exists, seconds=LATE, what="a line that the shell has run")
        yield process
        process.kill()


def test_a_shell_that_is_killed_leaves_nothing(
    before: audit.Snapshot, shell: subprocess.Popen[str], shared: Path
) -> None:
    assert not mounted(shared), "the host itself never has it"
    shell.kill()
    shell.wait()
    until(lambda: not _sees(shared), seconds=20, what="the end of the node")
    until(lambda: not audit.of_host().leaks(before), seconds=20, what="the end of its groups")
    assert sorted(path.name for path in shared.iterdir()) == ["begun"]


def _sees(folder: Path) -> list[Path]:
    """Processes in whose namespace the folder is shared."""
    found = []
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            if f"{folder} /srv/share " in mounts.read_text():
                found.append(mounts)
        except OSError:
            continue
    return found
