"""Shards execute each cell and control once; names alone decide which shard."""

from __future__ import annotations

import datetime as dt
import signal
from itertools import chain
from pathlib import Path

import pytest

from harness.commands import run
from harness.commands.cli import main
from harness.model.cells import Cell, FreezePolicy
from harness.model.controls import Control, ControlKind
from harness.model.errors import UsageError
from harness.records.shard import MOST_SHARDS, Shard
from harness.run import matrix, proof
from harness.run.items import items_of
from harness.run.options import Options
from harness.run.stopping import SIGNALS

CELLS = matrix.plan()
CONTROLS = proof.controls(CELLS, dt.date(2026, 11, 23), full=True)
SIXTEEN = [Shard(number=number, of=16) for number in range(1, 17)]


def shares(of: int) -> list[tuple[tuple[Cell, ...], tuple[Control, ...]]]:
    return [Shard(number=number, of=of).share(CELLS, CONTROLS) for number in range(1, of + 1)]


@pytest.mark.parametrize("text", ["1/1", "3/16", "16/16", f"1/{MOST_SHARDS}"])
def test_a_shard_is_written_as_it_is_read(text: str) -> None:
    assert str(Shard.read(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "/",
        "0/16",
        "17/16",
        "-1/4",
        "1/0",
        "1/2/3",
        "a/b",
        "1 / 2",
        "1/2\n",
        "\u0661/\u0662",
        "1/10001",
        "1/1e3",
        "9" * 99,
    ],
)
def test_what_is_no_share_is_refused_in_one_sentence_that_says_what_is(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--shard '.*' is not a share of a run\. Write K/N"):
        Shard.read(text)


def test_who_has_what_is_the_same_for_ever() -> None:
    """Else two versions could leave a cell out. The number is the last hex digit of `sha256sum`, plus 1."""
    names = ["ledger.runc@debian-sid", "ledger.crun@debian-sid", "shm.podman/runc@debian-sid", "é"]
    assert [next(shard.number for shard in SIXTEEN if shard.holds(name)) for name in names] == [11, 12, 3, 13]


@pytest.mark.parametrize("of", [1, 2, 3, 16, 300])
def test_every_cell_and_control_is_executed_once_and_in_order(of: int) -> None:
    cells = [cell for own, _ in shares(of) for cell in own]
    controls = [each for _, played in shares(of) for each in played if each.kind is not ControlKind.CANARY]
    assert sorted(cells, key=CELLS.index) == list(CELLS)
    assert sorted(controls, key=CONTROLS.index) == [each for each in CONTROLS if each.kind is not ControlKind.CANARY]
    for own, played in shares(of):
        assert list(own) == sorted(own, key=CELLS.index)
        assert list(played) == sorted(played, key=CONTROLS.index)


def test_the_canary_is_played_wherever_there_is_anything_to_do() -> None:
    for own, played in shares(300):
        canaries = [each for each in played if each.kind is ControlKind.CANARY]
        assert bool(canaries) is bool(own or played)
    assert ((), ()) in shares(300), "a share without anything to do needs no canary"


def test_all_mutants_of_a_participant_and_what_stands_beside_them_are_on_one_machine() -> None:
    kinds = (ControlKind.MUTANT, ControlKind.NEUTRAL)
    found = [{each.cell.checkpoint for each in played if each.kind in kinds} for _, played in shares(16)]
    assert sorted(str(who) for each in found for who in each) == ["podman/runc@debian-trixie", "runc@debian-trixie"]


def test_trials_that_are_paired_are_of_one_machine() -> None:
    for own, _ in shares(16):
        questions = {cell.question for cell in own}
        assert set(own) == {cell for cell in CELLS if cell.question in questions}


def test_what_falls_to_a_shard_does_not_hang_on_what_else_is_planned() -> None:
    few = matrix.plan(["debian-sid"], ["runc"])
    for shard in SIXTEEN:
        assert shard.share(few, ())[0] == tuple(cell for cell in shard.share(CELLS, ())[0] if cell in few)


def test_machines_have_about_as_much_to_do() -> None:
    sizes = [len(own) for own, _ in shares(4)]
    assert min(sizes) > len(CELLS) / 8
    assert max(sizes) < len(CELLS) / 2


def items(options: Options) -> list[tuple[str, str]]:
    return [(item.fixture, item.said) for item in items_of(options)]


def test_shards_have_all_the_items_of_a_run_and_the_question_about_all_mutants_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = Options(stack=("host",), seed=1, out=folder, cache=folder)
    parts = [items(whole.model_copy(update={"shard": shard})) for shard in SIXTEEN]
    canary = ("control", f"canary.{whole.controls[0].cell.checkpoint}")
    others = [[item for item in part if item != canary] for part in parts]
    assert sorted(chain(*others)) == sorted(item for item in items(whole) if item != canary)
    asked = [part for part in parts if any(fixture == "mutants" for fixture, _ in part)]
    assert asked
    for part in asked:
        played = {item.value for item in items_of(whole.model_copy(update={"shard": SIXTEEN[parts.index(part)]}))}
        for question in (value for value in played if isinstance(value, tuple)):
            assert set(question) <= played, "a share needs all mutants that its question is about"


def test_policies_are_what_a_question_leaves_open() -> None:
    bare, still = (CELLS[0].model_copy(update={"policy": policy}) for policy in (FreezePolicy.NONE, FreezePolicy.PAUSE))
    assert bare.question == still.question


def test_a_share_is_listed_without_root(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--stack", "host"]
    listed = []
    for number in (1, 2, 3):
        assert main([*words, "--shard", f"{number}/3"]) == 0
        listed.append(capsys.readouterr().out.splitlines())
    assert main(words) == 0
    assert sorted(chain(*listed)) == sorted(capsys.readouterr().out.splitlines())
    assert all(listed)


@pytest.mark.parametrize(("shard", "made"), [((), 1), (("--shard", "1/2"), 1), (("--shard", "2/2"), 0)])
def test_one_machine_makes_checkpoint_images_for_all(
    monkeypatch: pytest.MonkeyPatch, shard: tuple[str, ...], made: int
) -> None:
    asked: list[Options] = []

    def make(options: Options, *_: object) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(run, "run_cells", lambda *_: (0, Path("run")))
    monkeypatch.setattr(run, "make_images", make)
    assert main(["run", "--interop", "--seed", "7", *shard]) == 0
    assert len(asked) == made


def test_who_interrupts_the_images_is_told_that_the_cells_are_complete(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(*_: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(run, "run_cells", lambda *_: (0, Path("run")))
    monkeypatch.setattr(run, "make_images", make)
    try:
        assert main(["run", "--interop", "--seed", "7"]) == 3
    finally:
        for number in SIGNALS:
            signal.signal(number, before if number is not signal.SIGINT else signal.default_int_handler)
    told = "interrupted by SIGTERM while checkpoint images were made. The report of the cells is complete."
    assert told in capsys.readouterr().err
