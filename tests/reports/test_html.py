from __future__ import annotations

import time
from collections.abc import Iterable
from html.parser import HTMLParser

import pytest

from harness.model import Cell, Outcome
from harness.records import Record
from reports.html import MOST_STEPS, render
from tests.reports.synthetic import MOVING, MS, STILL, expected_run, matrix, moving, plan, poisoned, record, summary

POISON = "'\"><script>alert(1)</script></style></pre><img src=x onerror=alert(1)>{{ 7*7 }}|\n\x1b"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Tags, ids, links and text of a page whose tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
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
        self.text += data


def page(*records: Record, cells: Iterable[Cell] = (MOVING, STILL), rounds: int = 1) -> Page:
    return Page(render(summary(plan(cells, rounds), list(records))))


def test_the_page_stands_alone_and_its_links_arrive() -> None:
    found = page(*expected_run(matrix()), cells=matrix(), rounds=5)
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert not {"src", "srcset", "onclick"} & found.attributes
    assert len(found.links) >= 24 * 2
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert len(found.ids) == len(set(found.ids))
    assert found.tags.count("h1") == 1


def test_the_verdict_comes_first() -> None:
    text = page(moving(MOVING), moving(STILL)).text
    positions = [text.index(part) for part in ("Not as expected", f"{STILL.id} inconsistent 1/1", "Consistency matrix")]
    assert positions == sorted(positions)


def test_a_clean_cell_says_what_it_proves() -> None:
    found = page(*(record(STILL, number) for number in range(60)), cells=[STILL], rounds=60)
    assert found.text.count("0/60 (<4.9 %)") > 1


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_colour_never_stands_alone(outcome: Outcome) -> None:
    text = page(moving(MOVING), record(STILL, outcome=outcome)).text
    assert any(f"{glyph} {outcome}" in text for glyph in "✓✗◇?")


def test_missing_and_undetected_are_told() -> None:
    text = page(moving(MOVING), record(STILL, control="ring-byte"), rounds=2).text
    assert "? missing2 of 2" in text
    assert "missing 1 of 2" in text
    assert "✗ NO" in text
    assert "0 of 1 detected" in text


def test_hostile_strings_stay_text() -> None:
    records = [moving(MOVING), record(STILL, outcome=Outcome.LEAKED), record(STILL, control="ring-byte")]
    hostile = [poisoned(each, POISON).model_copy(update={"log": (POISON,), "leaks": (POISON,)}) for each in records]
    harmless = [each.model_copy(update={"log": ("x",), "leaks": ("x",)}) for each in records]
    found = Page(render(summary(poisoned(plan((MOVING, STILL), 1), POISON), hostile)))
    assert not {"script", "img"} & set(found.tags)
    assert "onerror" not in found.attributes
    assert "<script>alert(1)</script>" in found.text
    assert "{{ 7*7 }}" in found.text
    assert "\x1b" not in found.text
    assert set(found.tags) == set(page(*harmless).tags)


def test_commands_and_timeline_are_those_of_the_telling_trials() -> None:
    trials = [record(STILL, 0), record(STILL, 1), moving(STILL, 2, 10), moving(STILL, 3, 30), moving(STILL, 4, 20)]
    found = page(*trials, cells=[STILL], rounds=5)
    assert found.tags.count("svg") == 3
    assert found.text.count("runc checkpoint --leave-running") == 3
    assert "no container of that name" in found.text
    assert found.tags.count("article") == 1


def test_a_long_file_is_folded() -> None:
    trial = record(STILL)
    long = trial.commands[0].model_copy(update={"write_text": "{\n" + " 1,\n" * 20 + "}"})
    found = page(trial.model_copy(update={"commands": (long, *trial.commands[1:])}), cells=[STILL])
    assert "write /bundle/config.json, 22 lines" in found.text


def test_skews_and_schedule_of_each_trial_are_told() -> None:
    text = page(moving(STILL, 0, 3_000), cells=[STILL]).text
    for told in ("rootfs", "volume", "restored", "offline", "+3,000+45 ms", "92.4 ms", "41.2 ms", "planned 40 ms"):
        assert told in text


def test_a_harmed_source_is_told() -> None:
    trial = record(STILL, outcome=Outcome.SOURCE_HARMED)
    harmed = trial.source.model_copy(update={"ticking": False, "frozen": True, "same_nonce": False, "lost_ticks": 3})
    text = page(trial.model_copy(update={"source": harmed}), cells=[STILL]).text
    for told in ("stopped ticking", "left frozen", "other nonce", "lost 3 ticks"):
        assert told in text


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
