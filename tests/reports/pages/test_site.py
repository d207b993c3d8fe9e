from __future__ import annotations

import fnmatch
import hashlib
import json
import posixpath
import re
from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from harness.model.cells import Cell
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from harness.records.record import Record
from harness.run import matrix as every
from reports.analysis import claims
from reports.analysis.compare import compare
from reports.analysis.tables import RunSummary
from reports.formats import write as formats
from reports.pages import html
from reports.pages.html import MOST_STEPS, SCRIPT, listed_trials
from reports.pages.site import render
from reports.paths import document_of, feed_of, page_of, participant_page
from tests.reports import engines
from tests.reports.synthetic import (
    MOVING,
    MS,
    STILL,
    cell,
    expected_run,
    matrix,
    moving,
    plan,
    poisoned,
    record,
    summary,
)

POISON = "'\"><script>alert(1)</script></style></pre><img src=x onerror=alert(1)>{{ 7*7 }}|\n\x1b"
FETCHED = {"link", "img", "iframe"}
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Tags, ids, links and text of a page. The tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.fetched: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        self.text = "".join(self.said)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.fetched += [tag] if tag in FETCHED and ("rel", "alternate") not in attrs else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        else:
            self.said.append(data)


class Site:
    """All pages of a run."""

    def __init__(self, run: RunSummary, **past: Any) -> None:
        self.run, self.before = run, past.get("before", ())
        self.raw = dict(render(run, **past))
        self.pages = {path: Page(text) for path, text in self.raw.items()}

    def __getitem__(self, path: str) -> Page:
        return self.pages[path]

    def of(self, cell: Cell) -> Page:
        return self.pages[page_of(cell)]

    @property
    def text(self) -> str:
        return "\n".join(page.text for page in self.pages.values())


def site(*records: Record, cells: Iterable[Cell] = (MOVING, STILL), rounds: int = 1) -> Site:
    return Site(summary(plan(cells, rounds), list(records)))


def arrive(found: Site) -> None:
    """Check that every link leads to a page of the site, to a place on it, to a file for other tools, or outside."""
    others = {place for place, _ in formats.render(found.run, before=found.before, now=datetime.now(UTC))}
    for path, page in found.pages.items():
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            if link.startswith("https://"):
                continue
            name, _, place = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) if name else path
            assert target in found.pages or target in others, (path, link)
            assert not place or place in found[target].ids, (path, link)


def test_every_page_stands_alone_and_its_links_arrive() -> None:
    found = site(*expected_run(matrix()), cells=matrix(), rounds=5)
    arrive(found)
    for page in found.pages.values():
        assert page.fetched == []
        assert not {"src", "srcset", "onclick"} & page.attributes
        assert page.tags.count("h1") == 1
    assert set(found.pages) >= {page_of(cell) for cell in matrix()}
    assert {
        "index.html",
        "consistency.html",
        "interoperability.html",
        "known.html",
        "proof.html",
        "claims.html",
    } <= set(found.pages)


def test_the_only_script_is_the_filter_and_no_other_could_run() -> None:
    found = site(record(STILL), cells=[STILL])
    allowed = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    used = set(re.findall(r'getElementById\("(\w+)"\)', SCRIPT))
    assert used == {"filter", "filtered"}
    for path, page in found.pages.items():
        assert page.scripts == [SCRIPT]
        assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'\"" in found.raw[path]
        assert used <= set(page.ids)


def test_the_verdict_comes_first() -> None:
    text = site(moving(MOVING), moving(STILL))["index.html"].text
    positions = [
        text.index(part) for part in ("Not as expected", f"{STILL.id} inconsistent 1/1", "Each version was read")
    ]
    assert positions == sorted(positions)


def test_a_clean_cell_says_what_it_proves() -> None:
    found = site(*(record(STILL, number) for number in range(60)), cells=[STILL], rounds=60)
    for page in (found["consistency.html"], found.of(STILL), found["participants/runc@debian-sid.html"]):
        assert "0/60 (<4.9 %)" in " ".join(page.text.split())


def test_of_very_many_trials_those_that_tell_something_are_listed_and_the_rest_is_told_of() -> None:
    trials = [record(STILL, number) for number in range(500)]
    trials[300], trials[400] = moving(STILL, 300), record(STILL, 400, Outcome.LEAKED)
    found = site(*trials, cells=[STILL], rounds=500).of(STILL)
    assert found.tags.count("tr") < 60
    assert f"480 trials left out. records/{STILL.slug}.jsonl has all trials" in found.text
    assert f"stillframe show '{STILL.id}' lists them" in found.text
    assert [each.trial for each in listed_trials(summary(plan([STILL], 500), trials).cells[0])] == [
        *range(18),
        *(300, 400),
    ]
    assert "left out" not in site(*trials[:20], cells=[STILL], rounds=20).text


def test_of_very_many_cells_those_not_as_expected_are_shown_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_CLOSE", 1)
    cells = matrix()[:3]
    trials = [moving(cells[0]), record(cells[1]), moving(cells[2])]
    found = site(*trials, cells=cells)
    assert ["Timeline of trial" in found.raw[page_of(cell)] for cell in cells] == [False, False, True]
    assert f"stillframe show '{cells[0].id}' prints the commands" in found.of(cells[0]).text
    assert f"stillframe show '{cells[2].id}' prints the commands" not in found.of(cells[2]).text


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_colour_never_stands_alone(outcome: Outcome) -> None:
    text = site(moving(MOVING), record(STILL, outcome=outcome)).text
    assert any(f"{glyph} {outcome}" in text for glyph in "✓✗◇?")


def test_missing_and_undetected_are_told() -> None:
    text = site(moving(MOVING), record(STILL, control="ring-byte"), rounds=2).text
    assert "? missing2 of 2" in text
    assert "missing 1 of 2" in text
    assert "✗ consistent" in text
    assert "controls: 0 of 1 detected" in text


def test_hostile_strings_stay_text() -> None:
    def told(poison: str) -> Site:
        lines = {"log": ("x",), "leaks": ("x",), "warnings": ("x",), "accommodations": engines.WORKAROUNDS}
        records = [moving(MOVING), record(STILL, outcome=Outcome.LEAKED), record(STILL, control="ring-byte")]
        hostile = [poisoned(each.model_copy(update=lines), poison) for each in records]
        known = poisoned(engines.AHEAD, poison).model_copy(update={"link": f"https://{poison}", "signature": ""})
        some = poisoned(plan((MOVING, STILL), 1), poison)
        some = some.model_copy(update={"expectations": {each.cell.id: known for each in hostile[:2]}})
        return Site(summary(some, hostile))

    found = told(POISON)
    arrive(found)
    for page in found.pages.values():
        assert "img" not in page.tags
        assert page.scripts == [SCRIPT]
        assert "onerror" not in page.attributes
        assert "<script>alert(1)</script>" in page.text
        assert "{{ 7*7 }}" in page.text
        assert "\x1b" not in page.text
    harmless = told("x")
    assert [set(page.tags) for page in found.pages.values()] == [set(page.tags) for page in harmless.pages.values()]


def test_commands_and_timeline_are_those_of_the_telling_trials() -> None:
    trials = [record(STILL, 0), record(STILL, 1), moving(STILL, 2, 10), moving(STILL, 3, 30), moving(STILL, 4, 20)]
    found = site(*trials, cells=[STILL], rounds=5).of(STILL)
    assert found.tags.count("svg") == 1 + 3, "the distribution, and a timeline of each telling trial"
    assert found.text.count("runc checkpoint --leave-running") == 3
    assert "no container of that name" in found.text


def test_a_long_file_is_folded_and_left_out_where_all_is_well() -> None:
    def written(trial: Record) -> Record:
        long = trial.commands[0].model_copy(update={"write_text": "{\n" + " 1,\n" * 20 + "}"})
        return trial.model_copy(update={"commands": (long, *trial.commands[1:])})

    well, wrong = (site(written(trial), cells=[STILL]).of(STILL) for trial in (record(STILL), moving(STILL)))
    for found in (well, wrong):
        assert "write /bundle/config.json, 22 lines" in found.text
    assert "22 lines; stillframe show prints them" in well.text
    assert ("/dev/stdin /bundle/config.json" in well.text, "/dev/stdin /bundle/config.json" in wrong.text) == (0, 1)


def test_skews_and_schedule_of_each_trial_are_told() -> None:
    text = site(moving(STILL, 0, 3_000), cells=[STILL]).of(STILL).text
    for told in ("rootfs", "volume", "restored", "offline", "+3,000+45 ms", "92.4 ms", "41.2 ms", "planned 40 ms"):
        assert told in text


def test_a_harmed_source_is_told() -> None:
    trial = record(STILL, outcome=Outcome.SOURCE_HARMED)
    harmed = {
        "ticking": False,
        "frozen": True,
        "same_nonce": False,
        "lost_ticks": 3,
        "stops": False,
        "kept_pause": False,
    }
    trial = trial.model_copy(update={"source": trial.source.model_copy(update=harmed)})
    text = site(trial, cells=[STILL]).of(STILL).text
    told = (
        *("stopped ticking", "left frozen", "other nonce", "lost 3 ticks", "no longer paused"),
        "does not stop when asked",
    )
    assert [each for each in told if each not in text] == []


@pytest.fixture(scope="module")
def large() -> Site:
    return Site(engines.summary())


def test_many_cells_have_one_main_table_and_one_of_everything_else(large: Site) -> None:
    arrive(large)
    assert sum(path.startswith("cells/") for path in large.pages) == len(engines.cells())
    text = large["consistency.html"].text
    assert "Workload ledger" in text
    assert "Surfaces and scenarios" in text
    assert "paused: the user pauses the container" in text


def test_known_issues_have_a_page_and_do_not_look_like_failures(large: Site) -> None:
    known = large["known.html"]
    outside = [link for link in known.links if link.startswith("https://")]
    assert outside == [each.link for each in (engines.AHEAD, engines.LOST, engines.NO_RESTORE)]
    for told in (engines.AHEAD.reason, "review by 2027-03-01", "10 of 12 cells as expected"):
        assert told in known.text
    text = Site(engines.summary(all_well=True)).raw["consistency.html"]
    assert "<small>0/5 (&lt;45.1\N{NO-BREAK SPACE}%)</small>" in text
    assert '<td role="cell" data-column="engine" class="bad known">' in text
    assert " off" not in "".join(re.findall(r'class="[^"]*"', text))


def test_a_link_that_is_none_stays_text() -> None:
    told = engines.AHEAD.model_copy(update={"link": "javascript:alert(1)"})
    some = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: told}})
    found = Site(summary(some, [moving(STILL)]))
    for page in (found["known.html"], found.of(STILL)):
        assert "javascript:alert(1)" in page.text
        assert not [link for link in page.links if link.startswith("javascript")]


def test_workarounds_and_warnings_are_told(large: Site) -> None:
    proof, table = large["proof.html"], large["consistency.html"]
    for workaround in engines.WORKAROUNDS:
        assert workaround.lacking in proof.text
        assert workaround.change in proof.text
    numbers = [table.links.count(f"proof.html#accommodation-{number}") for number in (1, 2)]
    assert numbers[0] > numbers[1] > 0
    assert engines.WARNING in large.text
    assert "in 5 of 5 trials" in large.text


def test_a_daemon_and_its_poll_are_told(large: Site) -> None:
    assert "dockerd --config-file /etc/docker/daemon.json </dev/null >/var/log/dockerd.log 2>&1 &" in large.text
    assert "until curl --silent --fail --unix-socket /run/docker.sock http://docker/_ping; do" in large.text


def test_a_large_run_is_small_and_quick() -> None:
    def long(trial: Record) -> Record:
        repeated = [
            each.model_copy(update={"argv": (*each.argv, str(number)), "start_ns": number * MS})
            for number in range(60)
            for each in trial.commands
        ]
        return trial.model_copy(update={"commands": tuple(repeated)})

    run = summary(plan(matrix()), [long(each) for each in expected_run(matrix())])
    texts = dict(render(run))
    assert sum(map(len, texts.values())) < 2_000_000
    assert f">{MOST_STEPS} commands of 420: " in "".join(texts.values())


def test_the_names_in_ids_are_explained() -> None:
    run = plan([STILL], 1).model_copy(update={"words": {"docker/runc+commit": "memory, then a commit"}})
    told = Site(summary(run, [record(STILL)]))["index.html"]
    assert "docker/runc commit" in told.text
    assert "memory, then a commit" in told.text


# ---- the past


def newer(run: RunSummary, number: int) -> RunSummary:
    name = {"run": f"2026-11-2{number}-1", "created_ns": run.plan.created_ns + number * 86_400_000 * MS}
    return run.model_copy(update={"plan": run.plan.model_copy(update=name)})


def versioned(trial: Record, version: str) -> Record:
    found = {"components": {"checkpoint": (Component(name="podman", version=version),)}}
    return trial.model_copy(update=found)


def test_a_cell_that_the_newest_run_has_not_tried_keeps_its_page() -> None:
    old = summary(plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)])
    new = newer(summary(plan([STILL], 1), [moving(STILL)]), 9)
    found = Site(new, before=[old])
    arrive(found)
    age = "Not part of the newest run. This result is from run 2026-11-23-1"
    assert age in " ".join(found.of(MOVING).text.split())
    assert "Not part" not in found.of(STILL).text
    assert found.of(STILL).text.count("inconsistent"), "the newest run prevails"
    assert MOVING.id in found["history.html"].text


def test_a_participant_that_the_newest_run_leaves_out_keeps_its_page_document_and_feed() -> None:
    gone = cell(runtime="crun")
    old = summary(plan([STILL, gone], 1), [record(STILL), record(gone)])
    new = newer(summary(plan([STILL], 1), [record(STILL)]), 9)
    found = Site(new, before=[old], comparison=compare(old, new))
    arrive(found)
    page = participant_page("crun@debian-sid")
    age = "Not part of the newest run. This result is from run 2026-11-23-1"
    assert age in " ".join(found[page].text.split())
    assert "Not part" not in found[participant_page("runc@debian-sid")].text
    forms = dict(formats.render(new, before=[old], now=datetime.now(UTC)))
    assert (
        json.loads(forms[document_of(page)])["run"]
        == json.loads(forms[document_of(page_of(gone))])["run"]
        == old.plan.run
    )
    assert "crun@debian-sid: 1 disappeared" in forms[feed_of(page)]


def test_older_runs_are_the_past_of_the_newest() -> None:
    old = summary(plan([STILL, MOVING], 1), [versioned(moving(STILL), "5.8"), versioned(moving(MOVING), "5.8")])
    new = newer(
        summary(plan([STILL, MOVING], 1), [versioned(record(STILL), "6.1"), versioned(moving(MOVING), "6.1")]), 9
    )
    found = Site(new, before=[old], comparison=compare(old, new))
    arrive(found)
    assert "Outcome by run. 2026-11-23-1: inconsistent; 2026-11-29-1: consistent" in found.raw[page_of(STILL)]
    assert re.findall(r"5\.8|6\.1", found["history.html"].text.partition("These components")[2])[:2] == ["5.8", "6.1"]
    for page in (found["index.html"], found["compare.html"]):
        assert "fixed: 1 cell" in page.text
        assert "podman 5.8 -> 6.1 (checkpoint): 1 cell: inconsistent" in " ".join(page.text.split())


def test_without_a_past_nothing_is_said_of_one() -> None:
    found = site(record(STILL), cells=[STILL])
    assert not {"history.html", "compare.html"} & set(found.pages)
    assert "Changes since run" not in found.text


def test_a_promise_is_held_against_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claims.Claim(
        project="runc",
        promise="it goes on",
        source="https://x.example",
        cells=("ledger.*",),
        holds=(Outcome.CONSISTENT,),
    )
    monkeypatch.setattr(claims, "declared", lambda: (claim, claim.model_copy(update={"cells": ("other.*",)})))
    first, second = claims.held(summary(plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)]))
    assert (first.holding, first.broken, first.sentence) == ((STILL.id,), (MOVING.id,), "holds in 1 of 2 cells")
    assert second.sentence == "not tried in this run"


def test_every_promise_is_about_cells_that_there_are() -> None:
    known = matrix_of_all()
    for claim in claims.declared.__wrapped__():
        assert any(fnmatch.fnmatchcase(cell.id, pattern) for cell in known for pattern in claim.cells), claim.promise


def matrix_of_all() -> tuple[Cell, ...]:
    return (*every.plan(), *every.plan(interop=True))
