"""Run folders and histories from elsewhere: one sentence and an exit code, whatever they hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess  # noqa: TID251  # a process with little memory
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.commands.cli import main
from reports.runs import history, shards
from tests.reports import hostile
from tests.reports.hostile_folders import (
    CLOSELY,
    ELSEWHERE,
    PLAN,
    RECORDS,
    REST,
    Bad,
    changed,
    fifo,
    replaced,
    sparse,
    text,
)
from tests.reports.synthetic import MOVING, STILL, expected_run, plan, poisoned, record, store

ROOT = Path(__file__).resolve().parents[2]
LITTLE = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); "
MAIN = "import sys; from harness.commands.cli import main; sys.exit(main())"
REPORT = ("report", "{run}", "--out", "{out}/site")
SHOW = ("show", STILL.id, "--run", "{run}")
READ = (
    REPORT,
    ("compare", "{run}", "{good}"),
    ("compare", "{good}", "{run}"),
    ("pool", "{run}"),
    ("pool", "{good}", "{run}", "--json"),
    ("fingerprint", "{run}"),
    ("history", "add", "{out}/history", "{run}"),
    SHOW,
)
SUMMED_UP = (REPORT, READ[1], READ[2], SHOW)
ROWS = [
    *((bad, READ) for bad in PLAN),
    *((bad, READ) for bad in RECORDS),
    *((bad, SUMMED_UP) for bad in REST),
    *((bad, (REPORT, SHOW)) for bad in CLOSELY),
]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return store(tmp_path / "good", plan((MOVING, STILL), 2, run="good"), expected_run((MOVING, STILL), 2))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return store(tmp_path / "run", plan((MOVING, STILL), 2), expected_run((MOVING, STILL), 2))


def words_of(words: Sequence[str], folder: Path) -> list[str]:
    return [word.format(run=folder / "run", good=folder / "good", out=folder / "out") for word in words]


def refused(words: Sequence[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Expect one printable line on standard error, and exit code 2."""
    assert main(words) == 2, words
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.isprintable()
    assert len(line) < 600
    assert re.search(told, line), line


@pytest.mark.parametrize(("bad", "commands"), ROWS, ids=[bad.name for bad, _ in ROWS])
def test_a_bad_run_is_refused_by_every_command(
    bad: Bad,
    commands: Sequence[Sequence[str]],
    run: Path,
    good: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad.make(run)
    before = sorted(tmp_path.rglob("*"))
    for words in commands:
        refused(words_of(words, tmp_path), bad.told, capsys)
        shutil.rmtree(tmp_path / "out/history/runs", ignore_errors=True)
    left = {path for path in tmp_path.rglob("*") if path not in before}
    assert left <= {tmp_path / "out", tmp_path / "out/history"}


def test_nothing_without_an_end_is_read_into_memory(run: Path) -> None:
    sparse(run / "records" / f"{STILL.slug}.jsonl")
    little = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for words in (["pool", str(run)], ["history", "add", str(run.parent / "history"), str(run)]):
        command = [sys.executable, "-c", LITTLE + MAIN, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | little)
        assert (done.returncode, done.stdout) == (2, "")
        assert "line 1 has more than 16,777,216 bytes" in done.stderr


# ---- folders that are odd, and histories


def unfinished(folder: Path) -> None:
    (folder / "run/closing.json").unlink()


def kept(folder: Path) -> Path:
    """Make a history with one run; return the folder of the run."""
    name = history.add(folder / "history", folder / "run")
    return folder / "history/runs" / name


def copied(folder: Path) -> None:
    """Make a copy of the run with another result."""
    shutil.copytree(folder / "run", folder / "copy")
    path = folder / "copy/records" / f"{STILL.slug}.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("that was", "which was"), encoding="utf-8")


def again(folder: Path) -> None:
    kept(folder)
    copied(folder)


def linked(folder: Path) -> None:
    (folder / ELSEWHERE).mkdir()
    (folder / "run/report").mkdir()
    (folder / "run/report/cells").symlink_to(folder / ELSEWHERE)


def nested(folder: Path) -> None:
    place = folder / "deep/1/2/3/4"
    place.mkdir(parents=True)
    (folder / "run").rename(place / "run")


def loop(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")


def strange(folder: Path) -> None:
    kept(folder)
    (folder / "history/runs/\x1b[2J").mkdir()


def away(folder: Path) -> None:
    kept(folder)
    (folder / "history/runs").rename(folder / ELSEWHERE)
    (folder / "history/runs").symlink_to(folder / ELSEWHERE)


def borrowed(folder: Path) -> None:
    place = kept(folder)
    place.rename(folder / ELSEWHERE)
    place.symlink_to(folder / ELSEWHERE)


ADD = ("history", "add", "{out}/../history")
ODD = [
    ("no run", lambda folder: (folder / "deep").mkdir(), ("report", "{out}/../deep"), "deep holds no run: there is no"),
    ("a file", lambda folder: (folder / "file").touch(), ("pool", "{out}/../file"), "file holds no run: there is no"),
    ("too deep", nested, ("pool", "{out}/../deep"), "deep holds no run: there is no plan"),
    (
        "a link to itself",
        loop,
        ("report", "{out}/../loop"),
        "plan.json cannot be read: Too many levels of symbolic links",
    ),
    ("a long name", lambda _: None, ("pool", "x" * 300), "plan.json cannot be read: File name too long"),
    ("contradicting copies", copied, ("pool", "{run}", "{out}/../copy"), "copies of run .* that contradict each other"),
    (
        "contradicting copies",
        copied,
        ("report", "{run}", "{out}/../copy"),
        "copies of run .* that contradict each other",
    ),
    (
        "contradicting copies",
        copied,
        ("compare", "{run}", "{out}/../copy"),
        "copies of run .* that contradict each other",
    ),
    ("contradicting copies", copied, (*ADD, "{run}", "{out}/../copy"), "copies of run .* that contradict each other"),
    (
        "a contradicting copy in the history",
        again,
        (*ADD, "{out}/../copy"),
        "copies of run .* that contradict each other",
    ),
    (
        "an unfinished run",
        unfinished,
        (*ADD, "{run}"),
        "run did not finish. Add it when it is complete, or as it is with",
    ),
    (
        "a report behind a link",
        linked,
        ("report", "{run}"),
        "report/cells is a link, so the report would be written else",
    ),
    ("a stranger in a history", strange, ("history", "list", "{out}/../history"), "is not a kept run: it is no folder"),
    (
        "a stranger in a history",
        strange,
        ("history", "prune", "{out}/../history"),
        "is not a kept run: it is no folder",
    ),
    ("a stranger in a history", strange, ("report", "{out}/../history"), "is not a kept run: it is no folder"),
    (
        "a kept run behind a link",
        borrowed,
        ("history", "list", "{out}/../history"),
        "is not a kept run: it is no folder",
    ),
    (
        "a history behind a link",
        away,
        ("history", "list", "{out}/../history"),
        "runs cannot be read: it is a symbolic link",
    ),
    ("a history behind a link", away, (*ADD, "{good}"), "runs cannot be read: it is a symbolic link"),
    (
        "a summary that is a pipe",
        lambda folder: fifo(kept(folder) / "summary.json"),
        (*ADD, "{good}"),
        r"summary\.json cannot be read: it is a pipe",
    ),
    (
        "a summary that says nothing",
        lambda folder: text(kept(folder) / "summary.json", b"{}"),
        (*ADD, "{good}"),
        r"summary\.json is not a valid summary: cells: is missing",
    ),
    (
        "a record that is a link",
        lambda folder: link_in(kept(folder)),
        ("history", "prune", "{out}/../history", "--keep-logs", "0"),
        r"jsonl cannot be read: it is a symbolic link",
    ),
]


def link_in(folder: Path) -> None:
    (path, *_) = (folder / "records").iterdir()
    path.rename(folder / "moved")
    path.symlink_to(folder / "moved")


@pytest.mark.parametrize(
    ("make", "words", "told"), [row[1:] for row in ODD], ids=[f"{row[0]}-{row[2][0]}" for row in ODD]
)
def test_an_odd_folder_is_refused(
    make: Callable[[Path], object],
    words: Sequence[str],
    told: str,
    run: Path,
    good: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path)
    refused(words_of(words, tmp_path), told, capsys)
    assert not list((tmp_path / ELSEWHERE).glob("*.html"))


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("reports.runs.shards.MOST_RECORDS", "run has more than 1 records"),
        ("harness.foreign.files.MOST_ENTRIES", "records cannot be read: it has more than 1 entries"),
        ("harness.foreign.files.MOST_DOCUMENT", r"plan\.json cannot be read: it has more than 1 bytes"),
    ],
)
def test_too_much_is_refused(
    limit: str, told: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limit, 1)
    refused(["pool", str(run)], told, capsys)


def test_a_pattern_that_takes_for_ever_is_given_up(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"outcome": "hung", "signature": "(a+)+$", "reason": "x", "link": "https://example.org/1"}
    changed(run / "plan.json", expectations={STILL.id: known})
    replaced(run / "records" / f"{STILL.slug}.jsonl", b"a trial", b"a" * 99 + b"!")
    replaced(run / "records" / f"{STILL.slug}.jsonl", b'"consistent"', b'"hung"')
    monkeypatch.setattr("reports.runs.read.PATIENCE_SECONDS", 0.5)
    refused(["compare", str(run), str(run)], "the judgement of .*run takes more than 1 s. Look at the patterns", capsys)


def test_a_pattern_of_a_difference_that_takes_for_ever_is_given_up(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"match": ["*"], "signature": "(a+)+$", "reason": "x", "link": "https://example.org/1", "owner": "x"}
    changed(run / "plan.json", differences=[{**known, "added": "2026-11-30", "review_by": "2027-06-01"}])
    strange = {"aspect": "limits", "process": 1, "fact": "a" * 99 + "!", "before": "", "after": "", "weaker": False}
    differs = json.dumps({"compared": 1, "differences": [strange]}).encode()
    path = run / "records" / f"{STILL.slug}.jsonl"
    replaced(path, b'"outcome":"consistent"', b'"outcome":"altered"')
    replaced(path, b'"sameness":null', b'"sameness":' + differs)
    monkeypatch.setattr("reports.runs.read.PATIENCE_SECONDS", 0.5)
    refused(["compare", str(run), str(run)], "the judgement of .*run takes more than 1 s. Look at the patterns", capsys)


def test_a_table_that_is_too_large_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reports.formats.report.MOST_SQUARES", 1)
    told = "has 1 row and 2 columns, more than a report can show"
    refused(["report", str(run), "--out", str(tmp_path / "site")], told, capsys)
    assert not (tmp_path / "site").exists()


def test_too_many_folders_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shards, "MOST_FOLDERS", 2)
    for name in "abc":
        (tmp_path / name).mkdir()
    refused(["report", str(tmp_path)], "holds more than 2 folders. Name a run's folder", capsys)


def test_a_history_says_what_it_does_with_each_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early = Path(shutil.copytree(run, tmp_path / "early"))
    (early / "closing.json").unlink()
    place = str(tmp_path / "history")

    def said(*words: str) -> str:
        assert main(["history", "add", *words]) == 0
        return re.sub("[0-9a-f]{16}", "ID", capsys.readouterr().out)

    assert said("--unfinished", place, str(early)) == "added ID (2 cells)\n"
    assert said("--unfinished", place, str(early)) == "already there: ID (2 cells)\n"
    assert said(place, str(run)) == "added ID (2 cells)\nremoved ID, an earlier copy of it\n"
    assert said("--unfinished", place, str(early)) == "already there: ID (2 cells)\n"
    assert said(place, str(run), str(early)) == "already there: ID (2 cells)\n"
    assert [each.closing is not None for each in history.kept(tmp_path / "history")] == [True]


def test_nothing_of_a_record_drives_the_terminal_or_the_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        poisoned(each.model_copy(update=hostile.LINES), hostile.POISON).model_copy(
            update={"run": each.run, "cell": each.cell, "control": each.control}
        )
        for each in (record(STILL), record(MOVING), record(STILL, control="ring-byte"))
    ]
    store(tmp_path / "run", plan((MOVING, STILL), 1), found)
    for words in READ:
        if "{good}" not in words:
            codes = (2,) if words[0] == "fingerprint" else (0, 1, 3)  # it has no cross-restore
            assert main(words_of(words, tmp_path)) in codes, words
            said = capsys.readouterr()
            assert all(line.isprintable() for line in (said.out + said.err).replace("\t", "").split("\n")), words
    for page in (tmp_path / "out/site").rglob("*.html"):
        assert "<script>alert" not in page.read_text(encoding="utf-8")
