"""Applications that the ledger drives: the contract, and every way to break it, each with a sentence of its own."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host import compiler
from harness.host.process import HOST
from harness.model.outcomes import Anomaly
from harness.model.readings import Witness
from harness.oracle.judge import anomalies
from harness.workload import definitions
from harness.workload.messages import Failed, ReadingMessage, Start, Stop
from harness.workload.programs import FLAGS
from tests.workloads.running_ledger import Ledger

LOOP = "while read -r what n; do case $what in tick) {tick} ;; read) {read} ;; esac; done"
TICK, READ = 'echo "$n" >>counter && echo "ok $n"', 'echo "disk $(tail -n 1 counter)"'
ONCE = '[ "$n" -lt 20 ] && echo "ok $n" || '
ENDLESS = "head -c 1000000 /dev/zero | tr '\\0' x"
SAYS = 'failed no "room" \\ \tleft \u00e9\n'
Begin = Callable[..., Ledger]


@pytest.fixture(scope="session")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that waits for an answer not for seconds, but for a fiftieth of that."""
    binary = tmp_path_factory.mktemp("hasty") / "ledger"
    sources = sorted(str(path) for path in definitions.find("ledger").program_folder.glob("*.c"))
    HOST.run([*compiler.find(), *FLAGS, "-DSLICE_MS=2", "-o", str(binary), *sources], deadline=60)
    return binary


def write(
    parent: Path, *, tick: str = TICK, read: str = READ, verify: str = READ, drive: str = "", then: str = ""
) -> Path:
    """Write an application of shell scripts; `then`: what drive does after the end of its input."""
    folder = parent / "app"
    folder.mkdir()
    loop = LOOP.replace("{tick}", tick).replace("{read}", read)
    (folder / "says").write_text(SAYS)
    for name, script in (("drive", drive or f"{loop}\n{then}"), ("verify", verify)):
        (folder / name).write_text(f"#!/bin/sh\ncd {folder}\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def begin(start: Begin, tmp_path: Path) -> Begin:
    """Start a ledger with an application of shell scripts."""
    return lambda **script: start(application=write(tmp_path, **script))


def test_an_application_keeps_what_memory_has_and_a_fresh_one_agrees(begin: Begin) -> None:
    ledger = begin()
    assert ledger.hear(Start).surfaces == ("first", "app")
    ledger.await_tick(20)
    ledger.stop()
    ledger.hold()
    ledger.resume()
    found = ledger.hear(ReadingMessage, lambda said: said.reason == "gap")
    assert [(each.surface, each.newest, each.lag) for each in found.surfaces] == [
        ("first", found.n, 0),
        ("app", found.n, 1),
    ]
    assert found.surfaces[1].newest_wall_ns == found.n_wall_ns
    assert ledger.end(signal.SIGUSR1) == 0
    last = ledger.hear(ReadingMessage, lambda said: said.reason == "afterwards")
    assert last.n >= found.n
    assert [each.newest for each in last.surfaces] == [last.n, last.n]
    assert not anomalies(last.to_reading(Witness.AFTERWARDS))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ({"drive": "exit 0"}, "drive has ended, asked to tick 1"),
        ({"tick": f"{ONCE} exit 1"}, "drive has ended, asked to tick 20"),
        ({"tick": f"{ONCE} echo 'ok 19'"}, "drive, asked to tick 20, answered ok 19"),
        ({"tick": f"{ONCE} echo ok"}, "drive, asked to tick 20, answered ok"),
        ({"tick": f"{ONCE} echo 'okay 20'"}, "drive, asked to tick 20, answered okay 20"),
        ({"tick": f"{ONCE} cat says"}, r'drive cannot tick 20: no "room" \\ \?left \?\?'),
        ({"tick": f"{ONCE} echo failed"}, "drive cannot tick 20: it does not say why"),
        ({"tick": f"{ONCE} {ENDLESS}"}, "drive answered with a line that is too long, asked to tick 20"),
    ],
)
def test_an_application_that_breaks_the_contract_is_told(begin: Begin, script: dict[str, str], says: str) -> None:
    ledger = begin(**script)
    said = ledger.hear(Failed)
    assert said.by == "application"
    assert re.match(says, said.what), said.what
    assert ledger.process.poll() is None, "it waits, so that an engine can finish a restore"
    assert ledger.end() == 1
    assert ledger.messages(Stop)


def test_a_failure_comes_after_a_reading_of_what_there_is(begin: Begin) -> None:
    ledger = begin(tick=f'[ "$n" -lt 20 ] && {TICK} || echo failed')
    ledger.hear(Failed)
    said = ledger.hear(ReadingMessage, lambda said: said.reason == "failed")
    assert [(each.surface, each.newest) for each in said.surfaces] == [("first", 20), ("app", 19)]


def test_an_application_that_cannot_even_read_is_left_out_of_the_reading(begin: Begin) -> None:
    ledger = begin(tick=f"{ONCE} echo failed one", read="echo failed two")
    assert ledger.hear(Failed).what == "drive cannot tick 20: one"
    assert [each.surface for each in ledger.hear(ReadingMessage).surfaces] == ["first"]


@pytest.mark.parametrize(
    ("read", "newest", "damaged", "found"),
    [
        ("echo disk 3", 3, "", Anomaly.DISK_BEHIND),
        ("echo disk 9999999", 9999999, "", Anomaly.DISK_AHEAD),
        ("echo disk 0", None, "", Anomaly.DISK_BEHIND),
        ('echo damaged rows "17 and 18" are missing', None, "rows 17 and 18 are missing", Anomaly.DAMAGED),
        ("echo damaged", None, "it does not say why", Anomaly.DAMAGED),
    ],
)
def test_what_its_files_have_is_compared_with_memory(
    begin: Begin, read: str, newest: int | None, damaged: str, found: Anomaly
) -> None:
    ledger = begin(read=read)
    ledger.await_tick(20)
    ledger.stop()
    ledger.hold()
    ledger.resume()
    said = ledger.hear(ReadingMessage, lambda said: said.reason == "gap")
    assert (said.surfaces[1].newest, said.surfaces[1].damaged) == (newest, damaged)
    assert found in anomalies(said.to_reading(Witness.RESTORED))


@pytest.mark.parametrize(
    ("verify", "says"),
    [
        ("exit 1", "verify has ended"),
        ("echo all is well", "verify says neither `disk N` nor `damaged WHY`, but all is well"),
        ("echo disk -3", "verify says neither `disk N` nor `damaged WHY`, but disk -3"),
        (ENDLESS, "verify answered with a line that is too long"),
    ],
)
def test_a_verify_that_breaks_the_contract_is_told(begin: Begin, verify: str, says: str) -> None:
    ledger = begin(verify=verify)
    ledger.await_tick(20)
    assert ledger.end(signal.SIGUSR1) == 1
    said = ledger.hear(Failed)
    assert (said.what, said.by) == (says, "ending")


def test_a_program_that_cannot_be_started_is_told(start: Begin, tmp_path: Path) -> None:
    (tmp_path / "drive").write_text("#!/no/such/shell\n")
    (tmp_path / "drive").chmod(0o755)
    ledger = start(application=tmp_path)
    said = ledger.hear(Failed)
    assert (said.what, said.errno, said.by) == ("start the program drive of app", 2, "surface")


SLEEP = "exec sleep 1000"


@pytest.mark.parametrize(
    ("script", "number", "says"),
    [
        ({"drive": SLEEP}, 0, "drive did not answer within its time, asked to tick 1"),
        ({"tick": f"{ONCE} {SLEEP}"}, 0, "drive did not answer within its time, asked to tick 20"),
        ({"verify": SLEEP}, signal.SIGUSR1, "verify did not answer within its time"),
        ({"then": SLEEP}, signal.SIGUSR1, "drive has not ended, with all that it has started, in 10 s after"),
        ({"then": SLEEP}, signal.SIGTERM, ""),
    ],
)
def test_nobody_is_waited_for_without_end(
    hasty: Path, tmp_path: Path, script: dict[str, str], number: int, says: str
) -> None:
    with Ledger(hasty, tmp_path / "ledger", ring=64, period_us=1000, application=write(tmp_path, **script)) as ledger:
        if number:
            ledger.await_tick(5)
            ledger.process.send_signal(number)
        if says:
            assert ledger.hear(Failed).what.startswith(says)
            assert number or ledger.end() == 1
        else:
            assert ledger.process.wait(60) == 0
            assert not ledger.messages(Failed)
