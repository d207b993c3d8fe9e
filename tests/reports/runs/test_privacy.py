"""Published texts of a run, by any author: no secret, no environment, no memory, and no name unless asked."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any, TypeVar

import pytest
from rich.console import Console

from harness.model.errors import NotComparable
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.model.values import Frozen
from harness.privacy.redaction import FORMS, HOME, HOST, USER, Redaction
from harness.records import run_files
from harness.records.image_path import Attempt, ImageFacts, ImagePath, Spot, Step, StepRefusal
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis import compare
from reports.formats.report import write_report
from reports.runs import fingerprint, pool
from reports.runs.read import compare_runs, read_run
from reports.terminal import terminal
from reports.terminal.show import show_cell
from tests.reports import engines
from tests.reports.synthetic import MOVING, STILL, closing, moving, plan, poisoned, promising, record

POISONS = (
    "https://ada:hunter2@x ",
    "A=1 PASSWORD=hunter2 ",
    "Authorization: Bearer hunter2\n",
    "podman run -e A=hunter2 x ",
    '"Env": ["A=hunter2"] ',
    "Env:[A=hunter2] ",
    "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
    "00000010  68 75 6e 74 65 72 32 00  00 00 00 00 00 00 00 00  |hunter2.........|\n",
)
NAMES = ("run", "cell", "cells", "control", "stack", "producer", "route")
T = TypeVar("T", bound=Frozen)
IMAGE = ImagePath(
    stack="s",
    producer="podman",
    route="registry",
    looks=(ImageFacts(where="s", digest="d", media_type="m", parts=("p",), annotations={Spot.INDEX: {"a": "b"}}),),
    attempts=(
        Attempt(
            step=Step.RESTORE,
            verdict=Verdict(outcome=Outcome.REFUSED, stage=Stage.RESTORE, reason="no"),
            refusal=StepRefusal(early=True, named=("x",), said="no", left=("y",)),
        ),
    ),
)


def told(line: str) -> dict[str, Any]:
    """Return the fields of a record that hold foreign text."""
    return {**dict.fromkeys(("log", "leaks", "warnings", "changes"), (line,)), "accommodations": engines.WORKAROUNDS}


def written(folder: Path, plan: Plan, found: list[Record], image: ImagePath) -> Path:
    """Write a run without any redaction."""
    run_files.write_plan(folder, plan)
    lines = "".join(f"{each.model_dump_json()}\n" for each in found)  # the file name is no cell id
    (folder / "records" / "trials.jsonl").write_text(lines, encoding="utf-8")
    run_files.write_closing(folder, closing("file /tmp/x"))
    run_files.write_images(folder, [image])
    return folder


def named_as(one: T, other: T) -> T:
    """Return the other value with the names of the one: names that hold anything but names cannot be read."""
    return other.model_copy(update={name: getattr(one, name) for name in NAMES if name in type(one).model_fields})


def published(folder: Path, out: Path) -> dict[str, str]:
    """Return all texts that reports make from a run."""
    write_report([folder], out)
    shown, run = io.StringIO(), read_run(folder)
    terminal.show_run(run, Console(file=shown, width=200), verbose=True)
    terminal.show_images(run.images, Console(file=shown, width=200))
    found = {str(path.relative_to(out)): path.read_text(encoding="utf-8") for path in out.rglob("*") if path.is_file()}
    found |= {f"show {cell}": show_cell(folder, cell, 0) for cell in run.by_id}
    found |= {"pool": pool.as_json(pool.pool([folder])), "terminal": shown.getvalue()}
    found["fingerprint"] = fingerprint.as_json(fingerprint.fingerprint([folder]))
    with contextlib.suppress(NotComparable):
        found["compare"] = compare.as_json(compare_runs(folder, folder))
    return found


@pytest.mark.parametrize("poison", POISONS)
def test_a_secret_in_any_text_of_a_run_is_in_nothing_that_is_published(tmp_path: Path, poison: str) -> None:
    found = [moving(MOVING), record(STILL, outcome=Outcome.LEAKED), record(STILL, control="ring-byte")]
    found = [named_as(each, poisoned(each.model_copy(update=told("x")), poison)) for each in found]
    some = promising(named_as(plan((MOVING, STILL), 1), poisoned(plan((MOVING, STILL), 1), poison)), [])
    known = poisoned(engines.AHEAD, poison).model_copy(update={"signature": ""})
    some = some.model_copy(update={"expectations": {each.cell.id: known for each in found[:2]}})
    folder = written(tmp_path / "run", some, found, named_as(IMAGE, poisoned(IMAGE, poison)))
    every = [folder / "plan.json", folder / run_files.IMAGES, *(folder / "records").iterdir()]
    assert all("hunter2" in path.read_text(encoding="utf-8") for path in every), "the secret has to be in the input"
    texts = published(folder, tmp_path / "site")
    assert {"index.html", "report.md", "summary.json", "terminal"} <= set(texts)
    assert sum(name.startswith("cells/") for name in texts) == 2
    assert [name for name, text in texts.items() if "hunter2" in text or "68 75 6e" in text] == []


@pytest.mark.parametrize("kept", [False, True])
def test_names_are_in_nothing_that_is_published_unless_they_were_kept(tmp_path: Path, kept: bool) -> None:
    redaction = FORMS if kept else Redaction.knowing({HOST: ("buildbox7",), USER: ("ada",)}, {"/home/ada": HOME})
    line = "File /home/ada/x of ada on buildbox7"
    unexpected = record(STILL, outcome=Outcome.HARNESS_ERROR, reason=line).model_copy(update=told(line))
    unexpected = unexpected.model_copy(
        update={"commands": tuple(each.model_copy(update={"stderr": line}) for each in unexpected.commands)}
    )
    host = plan([STILL]).host.model_copy(update={"os": line})
    some = plan([STILL], 1).model_copy(update={"host": redaction.of(host)})
    folder = written(tmp_path / "run", some, [redaction.of(unexpected)], redaction.of(IMAGE))
    texts = published(folder, tmp_path / "site")
    names = ("/home/ada", "buildbox7", "ada")
    assert {name for name in names for text in texts.values() if name in text} == (set(names) if kept else set())


def test_a_report_says_what_it_says_of_a_run_with_nothing_to_take_out(tmp_path: Path) -> None:
    found = [moving(MOVING), record(STILL)]
    folder = written(tmp_path / "run", plan((MOVING, STILL), 1), found, IMAGE)
    run = read_run(folder)
    assert [trial for cell in run.cells for trial in cell.trials] == found
    assert run.images == (IMAGE,)
    assert not any("[secret]" in text or "[value" in text for text in published(folder, tmp_path / "site").values())
