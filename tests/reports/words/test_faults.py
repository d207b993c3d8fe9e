"""What failed in the middle of live checkpoints: as collected, in words, and in every report."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from harness.model.cells import Scenario
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Fault, Leftover
from reports.analysis.tables import RunSummary
from reports.formats import markdown
from reports.pages import site
from reports.terminal.terminal import show_run
from reports.words.cells import source_notes
from reports.words.findings import columns, faults_line, faults_of, score_of_faults
from tests.reports.synthetic import STILL, plan, record, summary

KILLED = STILL.model_copy(update={"scenario": Scenario.KILLED_CRIU})
FULL = STILL.model_copy(update={"scenario": Scenario.DISK_FULL})
WELL = Fault(
    what="criu was killed",
    stage=Stage.CHECKPOINT,
    said="criu failed",
    frozen=False,
    ticking=True,
    state="running",
    archive=Leftover.GONE,
)
FROZEN = WELL.model_copy(
    update={"stage": Stage.CAPTURE, "said": "", "frozen": True, "ticking": False, "repair": "runc resume <one>"}
)
SMALL = WELL.model_copy(update={"what": "the folder had room for 3 KiB", "stage": None, "archive": Leftover.PARTIAL})


def run() -> RunSummary:
    harmed = record(KILLED, 1, Outcome.SOURCE_HARMED).model_copy(update={"fault": FROZEN})
    return summary(
        plan([KILLED, FULL, STILL], 2),
        [
            record(KILLED, 0).model_copy(update={"fault": WELL}),
            harmed,
            record(FULL, 0).model_copy(update={"fault": SMALL}),
            record(FULL, 1, Outcome.VACUOUS),
            record(STILL, 0),
        ],
    )


def test_a_trial_counts_only_if_something_failed_in_it() -> None:
    killed, full = run().faulted
    assert (killed.cell, killed.label, killed.calls, killed.violations) == (
        KILLED.id,
        "runc@debian-sid",
        (WELL, FROZEN),
        1,
    )
    assert (full.scenario, full.calls, full.violations) == (Scenario.DISK_FULL, (SMALL,), 0)


def test_the_table_has_a_row_per_participant_and_a_column_for_what_has_failed() -> None:
    found = run().faulted
    assert columns(found) == (Scenario.KILLED_CRIU, Scenario.DISK_FULL)
    (row,) = faults_of(found).values()
    assert [score_of_faults(row[each]) for each in columns(found)] == ["✗ 1 of 2 violate", "✓ 1 survived"]
    assert faults_line(found) == "failures in the middle of a live checkpoint: 3 trials; 1 with a violation"
    assert faults_line(()) == ""


def test_a_trial_names_what_failed_before() -> None:
    trial, _ = run().cells[0].trials
    assert source_notes(trial) == ("during an earlier checkpoint, criu was killed",)


def test_the_table_is_in_every_report() -> None:
    found = run()
    page = dict(site.render(found))["faults.html"]
    assert ">✗ 1 of 2 violate</a>" in page
    assert '<td>frozen, CRIU done</td><td class="why">reported as done</td>' in page
    assert "<td>stays frozen</td><td>running</td><td><code>runc resume &lt;one&gt;</code></td>" in page
    assert '<td>at its begin</td><td class="why">criu failed</td><td>partial</td><td>goes on</td>' in page
    text = markdown.render(found)
    assert "| participant | CRIU is killed | the target is full |\n| --- | --- | --- |" in text
    assert "| runc@debian-sid | ✗ 1 of 2 violate | ✓ 1 survived |" in text
    out = StringIO()
    show_run(found, Console(file=out, width=200), verbose=True)
    assert "failures in the middle of a live checkpoint: 3 trials; 1 with a violation" in out.getvalue()


def test_without_a_fault_the_page_says_how_to_have_some() -> None:
    page = dict(site.render(summary(plan([STILL], 1), [record(STILL)])))["faults.html"]
    assert "--suite full" in page
