"""The calls that their clients gave up on: as collected, in words, and in every report."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from harness.model.cells import Scenario
from harness.model.outcomes import Outcome
from harness.model.readings import Abandoned, GivesUp, Leftover
from reports.analysis.sweeps import sweeps
from reports.analysis.tables import RunSummary
from reports.formats import markdown
from reports.pages import site
from reports.terminal.terminal import show_run
from reports.words.cells import source_notes
from reports.words.findings import abandoned_line, went_on
from tests.reports.synthetic import STILL, plan, record, summary

CELL = STILL.model_copy(update={"scenario": Scenario.ABANDONED})
WELL = Abandoned(how=GivesUp.DEADLINE, after_us=80_000, whole_us=100_000, frozen=False, ticking=True, state="running")
EARLY = WELL.model_copy(update={"after_us": 10_000, "archive": Leftover.GONE})
FROZEN = Abandoned(
    how=GivesUp.KILLED,
    after_us=50_000,
    whole_us=100_000,
    frozen=True,
    ticking=False,
    state="running",
    repair="runc resume <one>",
)
ENDED = FROZEN.model_copy(update={"frozen": False, "state": "stopped", "repair": ""})


def run(*calls: Abandoned) -> RunSummary:
    records = [
        record(CELL, trial, Outcome.SOURCE_HARMED if call.ticking is False else Outcome.CONSISTENT).model_copy(
            update={"abandoned": call}
        )
        for trial, call in enumerate(calls)
    ]
    return summary(plan([CELL], len(calls)), records)


def test_the_calls_of_a_cell_are_in_the_order_of_their_moments() -> None:
    (found,) = run(WELL, FROZEN, EARLY).sweeps
    assert (found.cell, found.label, found.harmed) == (CELL.id, "runc@debian-sid", 1)
    assert found.calls == (EARLY, WELL, FROZEN)
    assert sweeps(summary(plan([STILL], 1), [record(STILL)]).cells) == ()


def test_what_became_of_the_source_is_one_of_a_few_words() -> None:
    unseen = WELL.model_copy(update={"ticking": None})
    assert [went_on(each) for each in (WELL, FROZEN, ENDED, unseen)] == [
        "goes on",
        "stays frozen",
        "no longer ticks",
        "was not seen",
    ]
    assert abandoned_line(run(WELL, FROZEN, ENDED).sweeps) == (
        "clients that gave up: 3 calls; the source did not go on as before after 2"
    )
    assert abandoned_line(()) == ""


def test_a_trial_names_the_client_that_gave_up() -> None:
    (trial,) = run(EARLY).cells[0].trials
    assert source_notes(trial) == (
        "the client of an earlier checkpoint gave up at its deadline, after 10 ms of 100 ms",
    )


def test_the_table_is_in_every_report() -> None:
    found = run(EARLY, FROZEN, ENDED)
    page = dict(site.render(found))["faults.html"]
    assert "<td>was killed, after 50 ms of 100 ms</td><td>stays frozen</td><td>running</td><td>-</td>" in page
    assert "<td><code>runc resume &lt;one&gt;</code></td>" in page
    assert "<td>no longer ticks</td><td>stopped</td><td>-</td><td>nothing</td>" in page
    assert "<td>goes on</td><td>running</td><td>gone</td><td>-</td>" in page
    text = markdown.render(found)
    assert "gave up at its deadline, after 10 ms of 100 ms | goes on | running | gone | - |" in text
    out = StringIO()
    show_run(found, Console(file=out, width=200), verbose=True)
    assert "clients that gave up: 3 calls; the source did not go on as before after 2" in out.getvalue()
