from __future__ import annotations

import hashlib
import re
import time
from base64 import b64encode
from collections.abc import Iterable
from html.parser import HTMLParser

import pytest

from harness.model import Cell, Outcome
from harness.records import Record
from reports import html
from reports.html import MOST_STEPS, SCRIPT, listed_trials, render
from tests.reports import engines
from tests.reports.synthetic import MOVING, MS, STILL, expected_run, matrix, moving, plan, poisoned, record, summary

POISON = "'\"><script>alert(1)</script></style></pre><img src=x onerror=alert(1)>{{ 7*7 }}|\n\x1b"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Tags, ids, links and text of a page whose tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
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


def page(*records: Record, cells: Iterable[Cell] = (MOVING, STILL), rounds: int = 1) -> Page:
    return Page(render(summary(plan(cells, rounds), list(records))))


def test_the_page_stands_alone_and_its_links_arrive() -> None:
    found = page(*expected_run(matrix()), cells=matrix(), rounds=5)
    assert not {"link", "img", "iframe"} & set(found.tags)
    assert not {"src", "srcset", "onclick"} & found.attributes
    assert len(found.links) >= 24 * 2
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert len(found.ids) == len(set(found.ids))
    assert found.tags.count("h1") == 1


def test_the_only_script_is_the_filter_and_no_other_could_run() -> None:
    text = render(summary(plan([STILL], 1), [record(STILL)]))
    found = Page(text)
    assert found.scripts == [SCRIPT]
    allowed = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'\"" in text
    used = set(re.findall(r'getElementById\("(\w+)"\)', SCRIPT))
    assert used == {"filter", "filtered"}
    assert used <= set(found.ids)


def test_the_verdict_comes_first() -> None:
    text = page(moving(MOVING), moving(STILL)).text
    positions = [text.index(part) for part in ("Not as expected", f"{STILL.id} inconsistent 1/1", "Consistency matrix")]
    assert positions == sorted(positions)


def test_a_clean_cell_says_what_it_proves() -> None:
    found = page(*(record(STILL, number) for number in range(60)), cells=[STILL], rounds=60)
    assert " ".join(found.text.split()).count("0/60 (<4.9 %)") > 2


def test_of_very_many_trials_those_that_tell_something_are_listed_and_the_rest_is_told_of() -> None:
    trials = [record(STILL, number) for number in range(500)]
    trials[300], trials[400] = moving(STILL, 300), record(STILL, 400, Outcome.LEAKED)
    found = page(*trials, cells=[STILL], rounds=500)
    assert found.tags.count("tr") < 60
    assert f"480 trials left out; all are in records/{STILL.slug}.jsonl" in found.text
    assert f"stillframe show '{STILL.id}' lists them" in found.text
    assert [each.trial for each in listed_trials(summary(plan([STILL], 500), trials).cells[0])] == [
        *range(18),
        *(300, 400),
    ]
    assert "left out" not in page(*trials[:20], cells=[STILL], rounds=20).text


def test_of_very_many_cells_those_not_as_expected_are_shown_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_CLOSE", 1)
    cells = matrix()[:3]
    trials = [moving(cells[0]), record(cells[1]), moving(cells[2])]
    found = page(*trials, cells=cells)
    assert found.tags.count("svg") == 1
    assert f"stillframe show '{cells[0].id}' prints them" in found.text
    assert f"stillframe show '{cells[2].id}' prints them" not in found.text


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_colour_never_stands_alone(outcome: Outcome) -> None:
    text = page(moving(MOVING), record(STILL, outcome=outcome)).text
    assert any(f"{glyph} {outcome}" in text for glyph in "✓✗◇?")


def test_missing_and_undetected_are_told() -> None:
    text = page(moving(MOVING), record(STILL, control="ring-byte"), rounds=2).text
    assert "? missing2 of 2" in text
    assert "missing 1 of 2" in text
    assert "✗ consistent" in text
    assert "controls: 0 of 1 detected" in text


def test_hostile_strings_stay_text() -> None:
    def told(poison: str) -> Page:
        lines = {"log": ("x",), "leaks": ("x",), "warnings": ("x",), "accommodations": engines.CRUTCHES}
        records = [moving(MOVING), record(STILL, outcome=Outcome.LEAKED), record(STILL, control="ring-byte")]
        hostile = [poisoned(each.model_copy(update=lines), poison) for each in records]
        known = poisoned(engines.AHEAD, poison).model_copy(update={"link": f"https://{poison}", "signature": ""})
        some = poisoned(plan((MOVING, STILL), 1), poison)
        some = some.model_copy(update={"expectations": {each.cell.id: known for each in hostile[:2]}})
        return Page(render(summary(some, hostile)))

    found = told(POISON)
    assert "img" not in found.tags
    assert found.scripts == [SCRIPT]
    assert "onerror" not in found.attributes
    assert "<script>alert(1)</script>" in found.text
    assert "{{ 7*7 }}" in found.text
    assert "\x1b" not in found.text
    assert set(found.tags) == set(told("x").tags)


def test_commands_and_timeline_are_those_of_the_telling_trials() -> None:
    trials = [record(STILL, 0), record(STILL, 1), moving(STILL, 2, 10), moving(STILL, 3, 30), moving(STILL, 4, 20)]
    found = page(*trials, cells=[STILL], rounds=5)
    assert found.tags.count("svg") == 3
    assert found.text.count("runc checkpoint --leave-running") == 3
    assert "no container of that name" in found.text
    assert found.tags.count("article") == 1


def test_a_long_file_is_folded_and_left_out_where_all_is_well() -> None:
    def written(trial: Record) -> Record:
        long = trial.commands[0].model_copy(update={"write_text": "{\n" + " 1,\n" * 20 + "}"})
        return trial.model_copy(update={"commands": (long, *trial.commands[1:])})

    well, wrong = page(written(record(STILL)), cells=[STILL]), page(written(moving(STILL)), cells=[STILL])
    for found in (well, wrong):
        assert "write /bundle/config.json, 22 lines" in found.text
    assert "as stillframe show prints them" in well.text
    assert ("/dev/stdin /bundle/config.json" in well.text, "/dev/stdin /bundle/config.json" in wrong.text) == (0, 1)


def test_skews_and_schedule_of_each_trial_are_told() -> None:
    text = page(moving(STILL, 0, 3_000), cells=[STILL]).text
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
    text = page(trial, cells=[STILL]).text
    told = ("stopped ticking", "left frozen", "other nonce", "lost 3 ticks", "pause undone", "does not end when asked")
    assert [each for each in told if each not in text] == []


@pytest.fixture(scope="module")
def large() -> Page:
    return Page(render(engines.summary()))


def test_many_cells_have_one_main_table_and_one_of_everything_else(large: Page) -> None:
    assert large.tags.count("article") == len(engines.cells()) + len((engines.AHEAD, engines.LOST, engines.NO_RESTORE))
    assert "Workload ledger" in large.text
    assert "Surfaces and scenarios" in large.text
    assert "paused: its user has paused the container" in large.text
    ours = [link for link in large.links if not link.startswith("https://")]
    assert all(link.startswith("#") and link[1:] in large.ids for link in ours)
    assert len(large.ids) == len(set(large.ids))


def test_known_issues_have_a_section_and_do_not_look_like_failures(large: Page) -> None:
    outside = [link for link in large.links if link.startswith("https://")]
    assert outside == [each.link for each in (engines.AHEAD, engines.LOST, engines.NO_RESTORE)]
    for told in (engines.AHEAD.reason, "to be reviewed by 2027-03-01", "10 of 12 cells as expected", "Known issue 1"):
        assert told in large.text
    text = render(engines.summary(all_well=True))
    assert "<small>0/5 (&lt;45.1\N{NO-BREAK SPACE}%)</small>" in text
    assert '<td role="cell" data-column="engine" class="bad known">' in text
    assert " off" not in "".join(re.findall(r'class="[^"]*"', text))


def test_a_link_that_is_none_stays_text() -> None:
    told = engines.AHEAD.model_copy(update={"link": "javascript:alert(1)"})
    some = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: told}})
    found = Page(render(summary(some, [moving(STILL)])))
    assert "javascript:alert(1)" in found.text
    assert not [link for link in found.links if not link.startswith("#")]


def test_crutches_and_warnings_are_told(large: Page) -> None:
    for crutch in engines.CRUTCHES:
        assert crutch.lacking in large.text
        assert crutch.change in large.text
    assert {"accommodation-1", "accommodation-2"} <= set(large.ids)
    assert large.links.count("#accommodation-1") > large.links.count("#accommodation-2") > 0
    assert engines.WARNING in large.text
    assert "warnings in 5 of 5 trials" in large.text


def test_a_daemon_and_its_poll_are_told(large: Page) -> None:
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
    start = time.monotonic()
    text = render(run)
    assert time.monotonic() - start < 2
    assert len(text) < 1_500_000
    assert f">{MOST_STEPS} commands of 420: " in text


def test_the_names_in_ids_are_explained() -> None:
    run = plan([STILL], 1).model_copy(update={"words": {"docker/runc+commit": "memory, then a commit"}})
    told = Page(render(summary(run, [record(STILL)])))
    assert "docker/runc commit" in told.text
    assert "memory, then a commit" in told.text
