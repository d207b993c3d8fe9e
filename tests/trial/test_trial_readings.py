"""How a trial uses the messages of its source and of the restored workload."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.untrusted import Broken
from harness.model.cells import Settings
from harness.model.errors import StageFailed
from harness.model.outcomes import Anomaly, Outcome, Stage
from harness.model.readings import Reading, SourceHealth, Witness
from harness.oracle.evidence import Evidence
from harness.oracle.judge import judge
from harness.oracle.lines import lag, line_of
from harness.runtimes.contract import Contents
from harness.trial import restored, trial
from harness.trial.bench import Bench
from harness.trial.trial import Trial
from harness.workload.definitions import find
from tests import criu_images
from tests.folder_bench import (
    CHECKPOINT,
    CONTAINER,
    NONCE,
    NOW,
    SPEC,
    Played,
    node_of,
    nothing,
    open_bench,
    tell,
    tell_reading,
    use,
)

LATER = 1 << 62


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return open_bench(tmp_path, set(), monkeypatch)


def examined(bench: Bench) -> SourceHealth:
    assert bench.source is not None
    played = Played(bench, nothing)
    played.free_ns = NOW
    played.examine(bench.source)
    return played.evidence.source


def test_a_source_that_ticks_on_is_well(bench: Bench) -> None:
    tell_reading(bench)
    tell(bench, "beat", n_wall_ns=LATER)
    found = examined(bench)
    assert (found.ticking, found.frozen, found.same_nonce, found.lost_ticks) == (True, False, True, 0)
    assert found.longest_gap_us == 90_000.0


@pytest.mark.parametrize("wrong", [{"newest": 93}, {"newest": None, "newest_wall_ns": None}, {"torn": 1}, {"holes": 2}])
def test_a_source_whose_disk_does_not_fit_its_memory_any_more_is_harmed(bench: Bench, wrong: dict[str, Any]) -> None:
    tell_reading(bench, **wrong)
    tell(bench, "beat", n_wall_ns=LATER)
    assert Outcome.SOURCE_HARMED in judge(Evidence(source=examined(bench))).found


def test_a_source_that_is_another_process_is_harmed(bench: Bench) -> None:
    tell(bench, "beat", n_wall_ns=LATER, nonce="00000000deadbeef")
    assert examined(bench).same_nonce is False


def test_a_source_that_the_kernel_holds_is_frozen(bench: Bench) -> None:
    node_of(bench).put(f"{CONTAINER.cgroup}/cgroup.events", "populated 1\nfrozen 1\n")
    tell(bench, "beat", n_wall_ns=LATER)
    assert examined(bench).frozen is True


def test_a_source_that_is_silent_does_not_tick(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.trial.source.READY_SECONDS", 0.0)
    tell(bench, "beat", n_wall_ns=1)
    assert examined(bench).ticking is False


@pytest.mark.parametrize("waits", [False, True], ids=["", "and was waited for"])
def test_what_the_source_said_when_it_ran_again_is_examined(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    def take(*_: object, runs_again: Callable[[], object]) -> None:
        tell_reading(bench, newest=93)
        tell(bench, "beat", n_wall_ns=LATER)
        if waits:
            runs_again()

    def checkpoint_and_examine(played: Trial, acquired: contextlib.ExitStack) -> None:
        assert bench.source is not None
        played.checkpoint(bench.source, acquired)
        played.examine(bench.source)

    monkeypatch.setattr(trial, "take", take)
    assert Played(bench, checkpoint_and_examine).run().source.lost_ticks == 3


def test_what_the_source_said_before_the_checkpoint_is_of_another_trial(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(*_: object, **__: object) -> None:
        tell_reading(bench)
        tell(bench, "beat", n_wall_ns=LATER)

    def checkpoint_and_examine(played: Trial, acquired: contextlib.ExitStack) -> None:
        assert bench.source is not None
        tell_reading(bench, newest=93)
        played.checkpoint(bench.source, acquired)
        played.examine(bench.source)

    monkeypatch.setattr(trial, "take", take)
    assert Played(bench, checkpoint_and_examine).run().source.lost_ticks == 0


def test_a_trial_knows_what_is_outside_of_the_checkpoint_and_how_fast_it_ticks(bench: Bench) -> None:
    bench.settings, bench.workload = Settings(period_us=5), find("bind-mount")
    for evidence in (Played(bench, nothing).evidence, Played(bench, nothing).new_evidence()):
        assert (evidence.outside, evidence.period_ns) == (frozenset({"bind"}), 5_000)


def lay_out(bench: Bench) -> None:
    """A checkpoint at tick 90 whose ring is at tick 95."""
    nonce = int(NONCE, 16)
    images = bench.node.path(CHECKPOINT.images)
    surfaces = (("ring", "added", "/data/added.ring"),)
    criu_images.dump(images, criu_images.memory(90, nonce, surfaces), mounts=criu_images.MOUNTS[:1])
    ring = bench.node.path(f"{CHECKPOINT.upper}/data/added.ring")
    ring.parent.mkdir(parents=True)
    ring.write_bytes(criu_images.ring(95, nonce))


def read_offline(bench: Bench) -> Evidence:
    played = Played(bench, nothing)
    played.evidence.source_nonce = NONCE
    played.read_offline(CHECKPOINT)
    return played.evidence


def test_a_checkpoint_is_read_where_it_was_laid_open(bench: Bench) -> None:
    lay_out(bench)
    evidence = read_offline(bench)
    assert evidence.offline is not None
    assert (evidence.offline.nonce, evidence.offline.counter) == (NONCE, 90)
    assert [surface.newest for surface in evidence.offline.surfaces] == [95]
    assert (evidence.others, evidence.broken, evidence.lacking, evidence.unreadable) == ([], "", "", "")


def test_another_workload_in_it_is_judged_too(bench: Bench) -> None:
    lay_out(bench)
    surfaces = (("ring", "other", "/data/other.ring"),)
    criu_images.dump(bench.node.path(CHECKPOINT.images), criu_images.memory(700, 7, surfaces), pid=2)
    evidence = read_offline(bench)
    assert evidence.offline is not None
    assert evidence.offline.nonce == NONCE
    assert [other.counter for other in evidence.others] == [700]
    evidence.offline = None
    assert Anomaly.DISK_BEHIND in judge(evidence).anomalies


def test_a_checkpoint_whose_memory_cannot_be_laid_open_is_not_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.runtime, "contents", lambda _: Contents(None, {}))
    assert read_offline(bench).offline is None


def test_of_a_checkpoint_that_cannot_be_read_the_restore_shows_whose_fault_that_is(bench: Bench) -> None:
    lay_out(bench)
    images = bench.node.path(CHECKPOINT.images)
    (images / "pages-1.img").write_bytes(bytes(criu_images.PAGE))
    played = Played(bench, lambda played, _: played.read_offline(CHECKPOINT))
    record = played.run()
    assert "no workload's counter" in played.evidence.unreadable
    assert played.evidence.failures == []
    assert any("no workload's counter" in line for line in record.log)


def test_images_that_lack_a_part_are_told_from_those_that_nobody_understands(bench: Bench) -> None:
    lay_out(bench)
    (bench.node.path(CHECKPOINT.images) / "pages-1.img").unlink()
    evidence = read_offline(bench)
    assert evidence.lacking.startswith("pages-1.img is missing")
    assert (evidence.unreadable, evidence.broken) == ("", "")


def test_an_archive_that_is_called_a_success_and_is_cut_off_convicts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents(_: object) -> Contents:
        raise Broken("checkpoint.tar is not a complete archive: unexpected end of data")

    monkeypatch.setattr(bench.runtime, "contents", contents)
    evidence = read_offline(bench)
    evidence.freeze_begin_ns = NOW
    verdict = judge(evidence)
    assert verdict.outcome is Outcome.CHECKPOINT_BROKEN
    assert "not a complete archive" in verdict.reason


@pytest.fixture
def clone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The bench with a restored container that has a process; waits for its messages are short."""
    monkeypatch.setattr(restored, "WORD_SECONDS", 0.0)
    node_of(bench).put(f"{CONTAINER.cgroup}/cgroup.procs", f"{os.getpid()}\n")
    bench.node.run(["rm", "-rf", SPEC.report])
    bench.node.run(["mkdir", SPEC.report])
    return bench


def learned(clone: Bench) -> Evidence:
    played = Played(clone, nothing)
    played.read_restored(CONTAINER, NOW - 1)
    return played.evidence


def test_a_restored_workload_tells_what_it_found_and_ticks_on(clone: Bench) -> None:
    tell_reading(clone, at=SPEC.report, newest=95, newest_wall_ns=NOW + 5)
    tell(clone, "beat", at=SPEC.report, n=91)
    found = learned(clone)
    assert found.restored is not None
    assert (found.restored.witness, found.restored.nonce, found.restored.counter) == (Witness.RESTORED, NONCE, 90)
    assert [surface.newest for surface in found.restored.surfaces] == [95]
    assert (found.restored_moves, found.started_afresh) == (True, False)


def test_a_restored_counter_that_stands_still_is_noticed(clone: Bench) -> None:
    tell_reading(clone, at=SPEC.report)
    tell(clone, "beat", at=SPEC.report, n=90)
    assert not learned(clone).restored_moves


def test_what_was_about_to_be_said_at_the_checkpoint_is_not_taken_for_the_restored(clone: Bench) -> None:
    tell_reading(clone, at=SPEC.report, wall_ns=NOW - 10, newest=70)
    tell_reading(clone, at=SPEC.report)
    found = learned(clone)
    assert found.restored is not None
    assert found.restored.surfaces[0].newest == 90


def test_a_workload_that_starts_anew_is_noticed(clone: Bench) -> None:
    tell(clone, "start", at=SPEC.report, n=0, pid=1, ring=4, period_us=0, surfaces=["added"])
    found = learned(clone)
    assert (found.started_afresh, found.restored) == (True, None)


def test_a_restored_workload_that_says_nothing_leaves_no_reading(clone: Bench) -> None:
    found = learned(clone)
    assert (found.restored, found.started_afresh, found.restored_moves) == (None, False, False)


def test_a_restored_container_without_processes_has_ended(clone: Bench) -> None:
    node_of(clone).put(f"{CONTAINER.cgroup}/cgroup.procs", "")
    with pytest.raises(StageFailed, match="has ended by itself") as raised:
        learned(clone)
    assert (raised.value.stage, raised.value.outcome) == (Stage.READ, Outcome.RESTORE_FAILED)
    verdict = Played(clone, lambda played, _: played.read_restored(CONTAINER, NOW)).run().verdict
    assert Outcome.HARNESS_ERROR not in verdict.found


# ---- the log of a workload that prints


LINES = 2 * lag()
"""Ticks for which a restored workload has to go on."""
STUCK = 90 + lag()
"""Where one stands still whose output has no reader."""


@pytest.fixture
def printing(clone: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The bench with a workload that prints, and an engine that keeps its log."""
    monkeypatch.setattr(restored, "WORD_SECONDS", 1.0)
    monkeypatch.setattr(restored, "STILL_SECONDS", 0.02)
    monkeypatch.setattr(restored, "LOG_SECONDS", 0.02)
    monkeypatch.setattr(clone.runtime, "log", lambda _: "/log")
    clone.workload = find("chatty")
    tell_reading(clone, at=SPEC.report)
    tell(clone, "beat", at=SPEC.report, n=91)
    return clone


def keep(printing: Bench, *ticks: int) -> None:
    node_of(printing).put("/log", "".join(line_of(int(NONCE, 16), n).decode() for n in ticks))


def test_the_log_of_a_restored_workload_is_read_until_it_has_gone_on_for_long_enough(printing: Bench) -> None:
    tell(printing, "beat", at=SPEC.report, n=90 + LINES)
    keep(printing, *range(91, 95 + LINES))
    found = learned(printing)
    assert found.log is not None
    assert (found.log.first, found.log.surface.newest, found.log.due) == (91, 94 + LINES, 90 + LINES)
    assert (found.log.kept, found.log.travels, found.log.every) == (True, False, 1)
    assert (found.restored_moves, found.stood_at) == (True, None)
    assert judge(Evidence(**{**vars(found), "source_nonce": NONCE, "freeze_begin_ns": NOW})).found == (
        Outcome.NOT_CAPTURED,
    )


def test_a_log_travels_where_it_is_not_documented_as_outside(printing: Bench) -> None:
    use(printing, outside=frozenset())
    keep(printing, 91)
    found = learned(printing)
    assert found.log is not None
    assert found.log.travels


def test_a_workload_that_can_print_no_more_stands_still(printing: Bench) -> None:
    tell(printing, "beat", at=SPEC.report, n=STUCK)
    keep(printing, *range(91, STUCK + 1))
    found = learned(printing)
    assert found.log is not None
    assert (found.restored_moves, found.stood_at, found.log.due) == (False, STUCK, STUCK)


def test_a_workload_that_ends_while_it_prints_has_ended(printing: Bench) -> None:
    """Like a workload whose output no longer has a reader."""
    tell(printing, "beat", at=SPEC.report, n=STUCK)
    node_of(printing).put(f"{CONTAINER.cgroup}/cgroup.procs", "")
    played = Played(printing, nothing)
    played.evidence.restored = Reading(
        witness=Witness.RESTORED, nonce=NONCE, counter=90, counter_wall_ns=NOW, surfaces=()
    )
    with pytest.raises(StageFailed, match="has ended by itself"):
        played.read_log(CONTAINER, printing.channel(CONTAINER))


def test_where_no_log_is_kept_it_has_to_go_on_all_the_same(printing: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing.runtime, "log", lambda _: "")
    tell(printing, "beat", at=SPEC.report, n=STUCK)
    found = learned(printing)
    assert found.log is not None
    assert (found.log.kept, found.log.first) == (False, None)
    assert (found.restored_moves, found.stood_at) == (False, STUCK)


def test_of_a_workload_that_prints_nothing_no_log_is_asked_for(
    printing: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing.runtime, "log", lambda _: pytest.fail("asked"))
    printing.workload = find("ledger")
    assert learned(printing).log is None


def test_how_the_log_goes_on_is_in_the_record(printing: Bench) -> None:
    keep(printing, 91, 92, 92)
    record = Played(printing, lambda played, _: played.read_restored(CONTAINER, NOW - 1)).run()
    assert record.continuation is not None
    assert record.continuation.again == (92, 92)


def test_a_source_with_a_long_log_is_replaced(printing: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert printing.source is not None
    printing.source.container = replace(CONTAINER, spec=replace(SPEC, prints=True))
    keep(printing, 1)
    assert not printing.outgrown
    monkeypatch.setattr("harness.trial.bench.LONGEST_LOG", 10)
    assert printing.outgrown
    Played(printing, nothing).run()
    assert printing.source is None
    assert not printing.outgrown
