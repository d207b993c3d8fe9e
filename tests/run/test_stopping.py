"""Signals that ask a run to end, on a process that has nothing else to do."""

from __future__ import annotations

import os
import signal
import subprocess  # noqa: TID251  # children to look at
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.errors import Interrupted
from harness.run import stopping
from harness.run.stopping import SIGNALS, TWICE_SECONDS, Stopping, tidily


class Ended(BaseException):
    """What would have been the end of the process."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time; no signal is ignored, even if whoever started the tests does that, as nohup(1)."""
    now = [100.0]
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    yield now
    for number, how in before.items():
        signal.signal(number, how)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    return codes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "r1" / "records").mkdir(parents=True)
    return tmp_path / "r1"


def send(number: int) -> None:
    signal.raise_signal(number)  # to this thread: another one would not have it blocked


@pytest.mark.parametrize("number", SIGNALS)
def test_before_the_first_trial_a_signal_ends_the_work_with_a_sentence(number: signal.Signals) -> None:
    def work() -> int:
        send(number)
        return 0

    with pytest.raises(Interrupted, match=f"^interrupted by {number.name} before the first trial; there is no result$"):
        tidily(work)
    assert Interrupted.exit_code == 3


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_trials_leaves_a_file_for_the_workers(folder: Path, number: signal.Signals) -> None:
    told: list[str] = []
    with Stopping() as asked:
        asked.folder, asked.trying, asked.tell = folder, True, lambda text, _: told.append(text)
        send(number)
        assert (folder / stopping.FILE).exists()
    assert asked.by == number.name
    assert told == [f"{number.name}: stopping after the trials in progress; once more stops at once"]


def test_before_the_first_trial_a_run_ends_at_once_and_its_folder_is_gone(folder: Path, ends: list[int]) -> None:
    told: list[tuple[str, bool]] = []
    with Stopping() as asked:
        asked.folder, asked.tell = folder, lambda *words: told.append(words)
        with pytest.raises(Ended):
            send(signal.SIGHUP)
    assert (ends, folder.exists()) == ([3], False)
    assert told == [("interrupted by SIGHUP before the first trial; there is no result", True)]


def test_workers_end_at_once_and_supervisors_of_nodes_do_not(folder: Path, ends: list[int]) -> None:
    words = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(words, stdin=subprocess.PIPE) as worker,
        subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True) as supervisor,
        Stopping() as asked,
    ):
        asked.folder = folder
        with pytest.raises(Ended):
            send(signal.SIGINT)
        assert worker.wait() == -signal.SIGKILL
        assert supervisor.poll() is None
        supervisor.kill()


@pytest.mark.parametrize("recorded", [False, True])
def test_who_asks_twice_does_not_wait(folder: Path, clock: list[float], ends: list[int], recorded: bool) -> None:
    told: list[str] = []
    if recorded:
        (folder / "records" / "a.jsonl").write_text("{}\n", encoding="utf-8")
    with Stopping() as asked:
        asked.folder, asked.trying, asked.tell = folder, True, lambda text, _: told.append(text)
        send(signal.SIGINT)
        clock[0] += TWICE_SECONDS
        with pytest.raises(Ended):
            send(signal.SIGTERM)
    assert ends == [3]
    shows = f"`stillframe report {folder}` shows what there is" if recorded else "there is no result"
    assert told[1:] == [f"stopped at once; {shows}"]
    assert folder.exists() is recorded


def test_a_signal_that_is_sent_twice_at_a_time_is_one(folder: Path, clock: list[float], ends: list[int]) -> None:
    with Stopping() as asked:
        asked.folder, asked.trying = folder, True
        send(signal.SIGINT)
        clock[0] += TWICE_SECONDS / 2
        send(signal.SIGINT)
    assert ends == []


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Stopping() as asked:
        send(signal.SIGHUP)
    assert asked.by == ""
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_after_the_work_signals_are_what_they_were_unless_the_end_was_asked_for(folder: Path) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Stopping():
        pass
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with Stopping() as asked:
        asked.folder, asked.trying = folder, True
        send(signal.SIGTERM)
    assert {signal.getsignal(number) for number in SIGNALS} == {signal.SIG_IGN}, "only the exit code is to come"


def test_a_thread_asks_whether_it_has_to_end(folder: Path) -> None:
    with Stopping() as asked:
        asked.check()
        asked.folder, asked.trying = folder, True
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            asked.check()


def test_a_worker_leaves_the_signals_to_its_controller_and_its_programs_hear_them() -> None:
    with stopping.unheard():
        send(signal.SIGTERM)  # it waits until somebody hears it
        assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        stopping.leave_to_controller()
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        for number in SIGNALS:
            send(number)
            assert signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL)
