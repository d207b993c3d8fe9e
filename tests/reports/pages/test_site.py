"""The pages of a site."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode

import pytest

from harness.model.outcomes import Outcome
from harness.records.record import Record
from reports.pages import html
from reports.pages.html import MOST_STEPS, SCRIPT, listed_trials
from reports.pages.site import render
from reports.paths import page_of
from tests.reports import engines
from tests.reports.pages.parsed import Site, arrive, site
from tests.reports.synthetic import MOVING, MS, STILL, expected_run, matrix, moving, plan, poisoned, record, summary

POISON = "'\"><script>alert(1)</script></style></pre><img src=x onerror=alert(1)>{{ 7*7 }}|\n\x1b"


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


def test_there_is_one_script_and_no_other_could_run() -> None:
    found = site(record(STILL), cells=[STILL])
    allowed = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    used = set(re.findall(r'getElementById\("(\w+)"\)', SCRIPT))
    assert used == {"filter", "filtered"}
    for path, page in found.pages.items():
        assert page.scripts == [SCRIPT]
        assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'\"" in found.raw[path]
        assert used <= set(page.ids)


def test_a_cell_with_a_build_and_the_unmodified_one_lead_to_each_other() -> None:
    built = STILL.of("mine", "mine")
    trials = [record(STILL, number) for number in range(2)]
    trials += [record(built, number, Outcome.RESTORE_FAILED, reason="broken") for number in range(2)]
    found = site(*trials, cells=[STILL, built], rounds=2)
    arrive(found)
    told = "Compared: worse in 2 of 2 pairs"
    assert f"unmodified stack{STILL.id}: consistent. {told}" in found.of(built).text
    assert f"with a build{built.id}: restore-failed : broken. {told}" in found.of(STILL).text


def test_the_verdict_comes_first() -> None:
    text = site(moving(MOVING), moving(STILL))["index.html"].text
    positions = [
        text.index(part) for part in ("Not as expected", f"{STILL.id} inconsistent 1/1", "Each version was read")
    ]
    assert positions == sorted(positions)


def test_the_overview_says_of_each_participant_what_is_wrong_whose_fault_it_is_and_how_to_reproduce_it(
    large: Site,
) -> None:
    raw = large.raw["index.html"]
    rows: dict[str, str] = {}
    for name, row in re.findall(r'<tr role="row" data-filter="is:(\w+)">(.*?)</tr>', raw, re.S):
        rows[name] = rows.get(name, "") + " ".join(row.split())
    assert set(rows) == {"well", "known", "unexpected", "incomplete"}
    assert "✓</span> all right" in rows["well"]
    for told in (
        "◆</span> broken in a known way",
        "inconsistent disk-ahead: a live checkpoint lets the container run on",
        "whose fault: <b>podman</b>",
        "<code>sudo ci/matrix --cell ",
        "known.html#known-",
    ):
        assert told in rows["known"]
    assert 'aria-label="12 cells: 4 known, 1 as designed, 7 clean"' in raw
    text = large["index.html"].text
    assert (
        text.index("Stillframe checkpoints running containers")
        < text.index("Not as expected")
        < text.index("its cells")
    )


def test_a_cell_says_whose_fault_it_is_what_would_fix_it_and_how_to_reproduce_it(large: Site) -> None:
    known = next(each for each in large.run.cells if each.expectation == engines.AHEAD and each.as_expected)
    text = " ".join(large.of(known.cell).text.split())
    assert f"sudo ci/matrix --cell {known.cell.id}" in text.replace("'", "")
    assert "whose faultpodman, which has to act on the known issue" in text
    assert (
        "what would fix itconsistent in this run on another stack: ledger.engine.podman/runc@debian-experimental"
        in text
    )
    lost = next(each for each in large.run.cells if each.expectation == engines.LOST)
    assert "what would fix itnot known" in large.of(lost.cell).text
    fixed = engines.AHEAD.model_copy(update={"fix": "Podman 6.0"})
    some = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: fixed}})
    assert "Podman 6.0" in Site(summary(some, [moving(STILL)])).of(STILL).text
    clean = site(record(STILL), cells=[STILL]).of(STILL).text
    assert "whose fault" not in clean
    assert "Reproduce" in clean


def test_an_empty_page_says_how_to_fill_it() -> None:
    found = Site(summary(plan([], 1), []))
    for path in ("index.html", "consistency.html", "interoperability.html", "proof.html"):
        assert "sudo ci/matrix" in found[path].text, path


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
