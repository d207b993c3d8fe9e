"""The messages of a restored container, and its lines in the engine's log, while both grow."""

from __future__ import annotations

import json
import os
import signal
import subprocess  # noqa: TID251  # plays a container's process
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.host import wait
from harness.model.cells import SurfaceKind
from harness.model.errors import Lost, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Reading, Witness
from harness.oracle.lines import lag, line_of
from harness.trial import application, restored
from harness.trial import source as sources
from harness.trial.restored import Log, follow, go_on
from harness.trial.source import Channel, Silence, Source
from harness.trial.stages import Stages
from harness.workload.definitions import Surface
from harness.workload.messages import Failed, Message, read_messages
from tests.folder_bench import CONTAINER
from tests.folder_node import FolderNode

NONCE, CUT = 0xC0FFEE, 1000
READING = Reading(witness=Witness.RESTORED, nonce=f"{NONCE:016x}", counter=CUT, counter_wall_ns=1, surfaces=())
PRINTED = Surface(name="stdout", kind=SurfaceKind.STDOUT, description="")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restored, "STILL_SECONDS", 0.05)
    monkeypatch.setattr(restored, "LOG_SECONDS", 0.1)
    monkeypatch.setattr(restored, "WORD_SECONDS", 0.5)


def tell(folder: Path, number: int, n: int) -> None:
    beat = {"event": "beat", "nonce": READING.nonce, "n": n, "wall_ns": 2, "n_wall_ns": 2, "gap_ns": 0}
    (folder / f"{number:012}").symlink_to(json.dumps(beat))


class Speaker(Channel):
    """A channel with one more beat at each call, until its beats are used up."""

    def __init__(self, folder: Path, *ticks: int) -> None:
        super().__init__(folder)
        self.ticks = list(ticks)
        self.said = 0

    def listen(self) -> list:  # type: ignore[type-arg]
        if self.ticks:
            tell(self._folder, self.said, self.ticks.pop(0))
            self.said += 1
        return super().listen()


# ---- the counter


def test_a_counter_is_watched_until_it_has_come_far_enough(tmp_path: Path) -> None:
    assert go_on(Speaker(tmp_path, 1001, 1010, 1100, 1101), CUT, 100, period_ns=0) == (1100, False)


def test_a_counter_that_comes_no_further_stands_still(tmp_path: Path) -> None:
    assert go_on(Speaker(tmp_path, 1001, 1010), CUT, 100, period_ns=0) == (1010, True)


def test_a_counter_of_which_nothing_is_heard_stands_still(tmp_path: Path) -> None:
    assert go_on(Channel(tmp_path), CUT, 100, period_ns=0) == (CUT, True)


def test_a_counter_that_is_slow_does_not_stand_still(tmp_path: Path) -> None:
    """The workload's own period determines when the next tick is due."""
    assert go_on(Speaker(tmp_path, 1001), CUT, 100, period_ns=10_000_000_000) == (1001, False)


# ---- the log


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", NONCE, 1)
    assert log.read().newest is None, "the engine has not made it yet"
    lines = [line_of(NONCE, n) for n in range(1, 6)]
    (tmp_path / "log").write_bytes(lines[0] + lines[1] + lines[2][:9])
    assert log.read().newest == 2
    with (tmp_path / "log").open("ab") as file:
        file.write(lines[2][9:] + lines[3] + lines[4])
    found = log.read()
    assert (found.first, found.newest, found.reading("stdout").torn) == (1, 5, 0)


def test_lines_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restored, "LOG_SECONDS", 20.0)
    path = tmp_path / "log"
    read = Log.read
    written = iter(range(1000, 1040))

    def grow(self: Log) -> object:
        with path.open("ab") as file:
            file.write(line_of(NONCE, next(written)))
        return read(self)

    monkeypatch.setattr(Log, "read", grow)
    found = follow(path, PRINTED, READING, due=1020, travels=False, channel=Channel(tmp_path), size=0)
    assert (found.first, found.surface.newest, found.due, found.kept) == (1000, 1020, 1020, True)


def test_of_lines_every_few_ticks_the_last_that_is_due_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.host.wait.time.sleep", None)  # it is there already
    path = tmp_path / "log"
    path.write_bytes(b"".join(line_of(NONCE, n) for n in range(1000, 1021, 10)))
    found = follow(
        path,
        PRINTED.model_copy(update={"every": 10}),
        READING,
        due=1029,
        travels=True,
        channel=Channel(tmp_path),
        size=0,
    )
    assert (found.first, found.surface.newest, found.every, found.travels) == (1000, 1020, 10, True)
    assert found.surface.lag == lag(10)


def test_what_does_not_come_is_told_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(line_of(NONCE, n) for n in (1, 2, 5, 2, 3)))
    found = follow(path, PRINTED, READING, due=1020, travels=True, channel=Channel(tmp_path), size=0)
    assert (found.surface.newest, found.lost, found.again) == (5, (3, 4), (2, 3))
    assert (found.surface.holes, found.surface.repeated) == (2, 2)
    silent = follow(tmp_path / "absent", PRINTED, READING, due=1020, travels=True, channel=Channel(tmp_path), size=0)
    assert (silent.first, silent.surface.newest, silent.kept) == (None, None, True)


def test_a_log_that_nobody_keeps_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.host.wait.time.sleep", None)
    found = follow(None, PRINTED, READING, due=1020, travels=False, channel=Channel(tmp_path), size=0)
    assert (found.kept, found.first, found.surface.newest) == (False, None, None)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for messages, beside a log that ends long before a line that may be overdue at once."""
    monkeypatch.setattr(restored, "LOG_SECONDS", 1e9)
    monkeypatch.setattr(restored, "OVERDUE_SECONDS", 0.0)
    (tmp_path / "log").write_bytes(line_of(NONCE, 900))
    folder = tmp_path / "report"
    folder.mkdir()
    return folder


def test_a_line_is_overdue_when_more_was_printed_than_can_be_on_its_way(tmp_path: Path, told: Path) -> None:
    patient = Speaker(told, 1000, 1000 + lag(), 1000 + 2 * lag(), 1021 + 2 * lag())
    found = follow(tmp_path / "log", PRINTED, READING, due=1020, travels=True, channel=patient, size=0)
    assert (found.surface.newest, patient.ticks) == (900, [])


def test_a_log_that_has_not_grown_since_the_restore_is_overdue_at_once(tmp_path: Path, told: Path) -> None:
    size = restored.size_of(tmp_path / "log")
    due = CUT + 2 * lag() + 1
    found = follow(tmp_path / "log", PRINTED, READING, due=due, travels=True, channel=Speaker(told, due), size=size)
    assert found.surface.newest == 900
    assert restored.size_of(None) == restored.size_of(tmp_path / "gone") == 0


# ---- the silence


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the group at `tmp_path`."""
    with subprocess.Popen(["sleep", "600"]) as process:
        (tmp_path / "cgroup.procs").write_text(f"{process.pid}\n", encoding="ascii")
        yield process
        process.kill()


def test_whoever_can_run_may_still_say_something(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    silence = Silence(str(tmp_path))
    assert [silence.lost(), silence.lost()] == ["", ""]
    sleeper.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
    assert silence.lost() == "", "not at once"


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_whoever_is_stopped_or_gone_is_not_waited_for(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(sources, "LATE_SECONDS", 0.0)
    channel = Channel(tmp_path)
    sleeper.send_signal(number)
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    with pytest.raises(Lost, match="all its processes are stopped"):
        channel.wait_for(lambda _: True, seconds=1e9, what="a word", group=str(tmp_path))
    (tmp_path / "cgroup.procs").write_text("", encoding="ascii")
    with pytest.raises(Lost, match="a word cannot come: it has no process"):
        channel.wait_for(lambda _: True, seconds=1e9, what="a word", group=str(tmp_path))


def test_whoever_is_frozen_is_not_waited_for(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    frozen, running = tmp_path / "cgroup.events", Silence(str(tmp_path), 0.0)
    frozen.write_text("populated 1\nfrozen 1\n", encoding="ascii")
    assert running.lost() == "its control group is frozen"
    frozen.write_text("populated 1\nfrozen 0\n", encoding="ascii")
    assert running.lost() == ""
    assert Silence(str(tmp_path), 1e9).lost() == ""


def test_the_silence_of_one_that_the_kernel_holds_need_not_be_long(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(wait, "moment", watched.append)
    frozen, group = tmp_path / "cgroup.events", str(tmp_path)
    for one, state in ((group, "frozen 1"), (group, "frozen 0"), ("", "frozen 1")):
        frozen.write_text(f"{state}\n", encoding="ascii")
        assert Source(CONTAINER, Channel(tmp_path), "", one).stands_still()
    (tmp_path / "cgroup.procs").write_text("", encoding="ascii")
    assert Source(CONTAINER, Channel(tmp_path), "", group).stands_still()
    whole = sources.SILENCE_SECONDS
    assert watched == [sources.FROZEN_SECONDS, whole, whole, whole], "nobody is in the last one"


@pytest.mark.parametrize(("daemons", "late"), [([], sources.SOON_SECONDS), ([None], sources.LATE_SECONDS)])
def test_only_a_daemon_may_still_set_a_container_going(tmp_path: Path, daemons: list[Any], late: float) -> None:
    node = FolderNode(tmp_path)
    node.daemons = daemons
    assert sources.late_in(node) == late


def test_a_message_that_came_before_the_end_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LATE_SECONDS", 0.0)
    (tmp_path / "cgroup.procs").write_text("", encoding="ascii")
    tell(tmp_path, 7, 1001)
    assert Channel(tmp_path).wait_for(lambda _: True, seconds=1e9, what="a word", group=str(tmp_path)).n == 1001


def test_a_folder_without_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def read(folder: Path, after: int) -> list[tuple[int, Message]]:
        asked.append(after)
        return read_messages(folder, after)

    monkeypatch.setattr(sources, "read_messages", read)
    channel = Channel(tmp_path)
    for number in (3, 4, 9):
        tell(tmp_path, number, 1000 + number)
        assert [said.n for said in channel.listen()][-1] == 1000 + number
        channel.listen()
    assert asked == [-1, 3, 4]
    before = tmp_path.stat().st_mtime_ns
    tell(tmp_path, 10, 1010)
    os.utime(tmp_path, ns=(before, before))
    assert channel.listen()[-1].n == 1010, "its clock may be too coarse to show a change"


# ---- an application that cannot go on


def failed(n: int) -> Failed:
    return Failed(event="failed", nonce=READING.nonce, n=n, wall_ns=3, what="no space", by="application")


@pytest.mark.parametrize(
    ("n", "source", "blamed"),
    [
        (CUT, 0, True),
        (CUT + 2, 0, True),
        (CUT + 3, 0, False),
        (CUT + 50, CUT + 49, False),
        (CUT + 50, CUT + 50, True),
        (CUT + 50, None, False),
    ],
)
def test_it_is_unfit_only_where_it_would_have_gone_on_without_a_checkpoint(
    tmp_path: Path, n: int, source: int | None, blamed: bool
) -> None:
    channel = None if source is None else Speaker(tmp_path, source)
    if blamed:
        assert application.unfit(failed(n), READING, channel) == "no space"
        return
    with pytest.raises(StageFailed) as raised:
        application.unfit(failed(n), READING, channel)
    assert (raised.value.stage, raised.value.outcome) == (Stage.READ, Outcome.HARNESS_ERROR)
    assert raised.value.reason == f"the application failed at tick {n:,}, to which the source did not come: no space"


def test_who_waits_for_an_application_that_has_failed_is_told_and_no_runtime_is_blamed(tmp_path: Path) -> None:
    (tmp_path / f"{0:012}").symlink_to(failed(7).model_dump_json())
    with pytest.raises(StageFailed) as raised, Stages().at(Stage.START):
        Channel(tmp_path).wait_for(lambda said: said.n > 7, seconds=5, what="the first tick")
    assert raised.value.outcome is Outcome.HARNESS_ERROR
    assert raised.value.reason == "the first tick cannot come, since the application failed: no space"
    assert Channel(tmp_path).wait_for(sources.has_failed, seconds=5, what="it").n == 7


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("disk 0", ("0", None)),
        ("disk 1234567890123456789", ("1234567890123456789", None)),
        ("damaged rows 3 and 4", (None, "rows 3 and 4")),
        ("damaged", (None, None)),
        ("damagedly", None),
        ("disk -1", None),
        ("disk 12345678901234567890", None),
        ("disk", None),
        ("Traceback (most recent call last):", None),
    ],
)
def test_what_verify_prints_is_read_as_the_ledger_reads_it(
    line: str, found: tuple[str | None, str | None] | None
) -> None:
    said = application.SAID.fullmatch(line)
    assert (said and said.groups()) == found
