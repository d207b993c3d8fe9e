"""Where checkpoints put canaries: as collected, in words, and in every report."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from harness.model.cells import Scenario
from harness.model.readings import Canary, Secret
from reports.formats import markdown
from reports.pages import site
from reports.terminal.terminal import show_run
from reports.words.findings import secrets_line
from tests.reports.synthetic import STILL, plan, record, summary

LOOKED = STILL.model_copy(update={"scenario": Scenario.SECRETS})
ARCHIVE = Secret(
    place="/srv/*/checkpoint.tar",
    holds=(Canary.MEMORY, Canary.FILE),
    mode="0600",
    owner="0:0",
    exposed=False,
    stays=False,
)
COPY = Secret(place="/tmp/<one>", holds=(Canary.MEMORY,), mode="0644", owner="0:0", exposed=True, stays=True)


def test_the_table_is_in_every_report() -> None:
    records = [
        record(LOOKED, 0).model_copy(update={"secrets": (COPY, ARCHIVE)}),
        record(LOOKED, 1).model_copy(update={"secrets": (ARCHIVE,)}),
    ]
    found = summary(plan([LOOKED, STILL], 2), [*records, record(STILL, 0), record(STILL, 1)])
    (spread,) = found.spreads
    assert (spread.cell, spread.trials, spread.files) == (LOOKED.id, 2, ((ARCHIVE, 2), (COPY, 1)))
    line = "canaries: in 2 files of 1 participant; others can read 1; 1 still there after the removal"
    assert secrets_line(found.spreads) == line
    page = dict(site.render(found))["secrets.html"]
    assert "<code>/srv/*/checkpoint.tar</code></td><td>memory, file</td><td>0600</td><td>0:0</td><td>no</td>" in page
    assert (
        '<code>/tmp/&lt;one&gt;</code></td><td>memory</td><td>0644</td><td>0:0</td><td>yes</td><td class="bad">' in page
    )
    told = "| runc@debian-sid | /srv/\\*/checkpoint.tar | memory, file | 0600 | 0:0 | no | gone | 2 of 2 |"
    assert told in markdown.render(found)
    out = StringIO()
    show_run(found, Console(file=out, width=200), verbose=True)
    assert line in out.getvalue()


def test_without_a_look_there_is_no_table() -> None:
    found = summary(plan([STILL], 1), [record(STILL)])
    assert found.spreads == ()
    assert secrets_line(()) == ""
    assert "--suite full" in dict(site.render(found))["secrets.html"]
