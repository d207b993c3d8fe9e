from __future__ import annotations

from harness.model.cells import Cell, FreezePolicy, Participant
from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from reports.analysis.participants import participants
from tests.reports import engines
from tests.reports.synthetic import STILL, plan, record, summary

OTHER = Participant(runtime="crun", stack="debian-sid")
CROSSED = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=STILL.checkpoint, restore=OTHER)


def test_a_cell_counts_for_both_of_its_sides() -> None:
    run = summary(plan([STILL, CROSSED], 1), [record(STILL), record(CROSSED, outcome=Outcome.RESTORE_FAILED)])
    first, second = participants(run)
    assert (first.name, [each.cell for each in first.cells]) == ("runc@debian-sid", [STILL, CROSSED])
    assert (second.name, [each.cell for each in second.cells]) == ("crun@debian-sid", [CROSSED])
    assert second.sentence == "0 of 1 cell consistent, 0 known issues, 1 not as expected"


def test_a_participant_answers_for_its_own_cells_alone() -> None:
    found = {each.name: each for each in participants(engines.summary())}
    assert found["runc@debian-sid"].exit_code is Exit.EXPECTED
    assert found["containerd@debian-sid"].exit_code is Exit.UNEXPECTED
    assert found["crun@debian-trixie"].exit_code is Exit.INCOMPLETE
    assert found["podman/crun@debian-sid"].known == 4
    assert found["podman/crun@debian-sid"].path == "participants/podman_crun@debian-sid.html"
