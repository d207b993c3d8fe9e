"""Which test asks which question of which cell, and on which bench."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.commands.plugin import OPTIONS, RUN, SUMMARY, _marks, pytest_terminal_summary
from harness.commands.watching import ending
from harness.commands.watching.reporter import said
from harness.host.process import HOST
from harness.model.cells import FAULTS, Cell, Scenario
from harness.model.expectations import Expectation
from harness.model.machine import Condition
from harness.model.outcomes import Outcome
from harness.records.shard import Shard
from harness.run.items import Item, benches_of, items_of
from harness.run.options import Options
from harness.run.prepare import Run
from harness.trial.bench import Bench
from tests.reports.synthetic import HOST as HOST_FACTS
from tests.reports.synthetic import STILL, plan, record, summary

ROOT = Path(__file__).resolve().parents[2]
TESTS = {
    Scenario.LIVE: "scenarios/test_live_consistency.py::test_live_consistency",
    Scenario.PAUSED: "scenarios/test_paused_source.py::test_paused_source",
    Scenario.ABANDONED: "scenarios/interrupted/test_abandoned.py::test_abandoned_checkpoint",
    Scenario.CONCURRENT: "scenarios/interrupted/test_concurrent.py::test_two_at_once",
    **dict.fromkeys(FAULTS, "scenarios/interrupted/test_faults.py::test_faults"),
    Scenario.SECRETS: "scenarios/test_secrets.py::test_secrets",
    Scenario.GROUP: "scenarios/test_group.py::test_group",
    Scenario.GROUP_AT_ONCE: "scenarios/test_group.py::test_group_at_once",
    Scenario.POD: "scenarios/test_pod.py::test_pod",
    Scenario.POD_FROZEN: "scenarios/test_pod.py::test_pod_frozen",
    Scenario.GENERATIONS: "scenarios/test_generations.py::test_generations",
    Scenario.INCREMENTAL: "scenarios/test_incremental.py::test_incremental",
    Scenario.MAPPED: "scenarios/test_bridges.py::test_mapped",
    Scenario.TRANSLATED: "scenarios/test_bridges.py::test_translated",
    Scenario.KEEP: "scenarios/test_corpus.py::test_keep",
    Scenario.KEPT: "scenarios/test_corpus.py::test_kept",
}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    folder = tmp_path_factory.getbasetemp()
    return Options(stack=("host",), runtime=("runc", "crun"), seed=1, out=folder, cache=folder)


@pytest.fixture(scope="module")
def collected(options: Options) -> list[str]:
    """What pytest would execute, in order; collecting needs neither root nor stacks."""
    words = ["--stack", "host", "--runtime", "runc", "--runtime", "crun", "--out", str(options.out)]
    done = HOST.run(
        [sys.executable, "-m", "pytest", "scenarios", "--collect-only", "-q", *words], cwd=str(ROOT), deadline=120
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_every_cell_is_asked_its_question_once_and_every_control_is_played(
    options: Options, collected: list[str]
) -> None:
    assert set(TESTS) == set(Scenario)
    expected = [f"{TESTS[cell.scenario]}[{cell.id}]" for cell in options.cells]
    expected += [
        f"scenarios/controls/test_controls.py::test_control_is_noticed[{control.id}.{control.cell.checkpoint}]"
        for control in options.controls
    ]
    assert sorted(line for line in collected if "[" in line) == sorted(expected)


def test_what_shares_a_bench_is_executed_together(options: Options, collected: list[str]) -> None:
    benches = benches_of(options)
    order = [benches[said(line)] for line in collected if "[" in line]
    assert order == sorted(order)
    assert set(order) == set(benches.values())


def test_the_names_of_items_tell_them_apart(options: Options) -> None:
    names = [item.said for item in items_of(options)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if re.search(r"[\[\]\s]", name)]


def test_a_bench_has_a_number_for_whatever_needs_it(options: Options) -> None:
    benches = benches_of(options)
    assert set(benches) == {item.said for item in items_of(options)}
    keys = {Bench.key_of(item.cell): benches[item.said] for item in items_of(options)}
    assert sorted(keys.values()) == list(range(len(keys)))
    assert all(benches[item.said] == keys[Bench.key_of(item.cell)] for item in items_of(options))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("test_live_consistency[ledger.pause.runc@host]", "ledger.pause.runc@host"),
        (
            "test_paused_source[paused:ledger.pause.podman/runc@host+image]",
            "paused:ledger.pause.podman/runc@host+image",
        ),
        ("test_every_control_is_declared", ""),
    ],
)
def test_an_item_says_in_brackets_what_it_is_about(name: str, told: str) -> None:
    assert said(name) == told


@pytest.mark.parametrize("conditions", [(), tuple(Condition)])
def test_a_cell_is_an_xfail_where_its_plan_knows_an_issue(tmp_path: Path, conditions: tuple[Condition, ...]) -> None:
    there = Expectation(
        when=Condition.LACKS_MEM_DIRTY_TRACK, outcome=Outcome.UNSUPPORTED, reason="x", link="https://x/1"
    )
    host = HOST_FACTS.model_copy(update={"conditions": conditions})
    promised = plan([STILL], 1).model_copy(update={"host": host, "conditional": {STILL.id: there}})
    marks = _marks(Item("cell", STILL, STILL.id, STILL), Run(tmp_path, promised, {}, {}))
    assert [mark.kwargs["reason"] for mark in marks if mark.name == "xfail"] == ["https://x/1"] * bool(conditions)
    assert [mark.name for mark in _marks(Item("cell", STILL, STILL.id, STILL), None)] == ["timeout"]


@pytest.mark.parametrize("where", ["scenarios/test_live_consistency.py", "scenarios"])
def test_a_shard_with_nothing_to_do_is_no_error(options: Options, where: str) -> None:
    cells = ["--cell", "ledger.pause.runc@host", "--seed", "7"]
    words = ["--collect-only", "-q", *cells, "--shard", f"{idle(options)}/64", "--out", str(options.out)]
    done = HOST.run([sys.executable, "-m", "pytest", where, *words], cwd=str(ROOT), deadline=120, accept=range(256))
    assert (done.exit_code, [line for line in done.stdout.splitlines() if "[" in line]) == (0, [])


def test_no_plugin_is_taken_from_the_folder_of_runs(tmp_path: Path) -> None:
    (tmp_path / "test_x").mkdir()
    (tmp_path / "test_x/conftest.py").write_text("import nothing_of_this_name\n")
    words = ["--collect-only", "-q", "--stack", "host", "--runtime", "runc", "--out", str(tmp_path)]
    HOST.run([sys.executable, "-m", "pytest", "scenarios", *words], cwd=str(ROOT), deadline=120)


def idle(options: Options) -> int:
    chosen = options.model_copy(update={"cell": ("ledger.pause.runc@host",)})
    shards = (Shard(number=number, of=64) for number in range(1, 65))
    return next(each.number for each in shards if each.share(chosen.cells, chosen.controls) == ((), ()))


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([STILL], ([("1 passed", {"green": True, "bold": True})], "green")),
        ([], ([("1 executed", {"yellow": True, "bold": False})], "red")),
    ],
)
def test_a_red_run_does_not_end_with_green_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config, records: list[Cell], words: object
) -> None:
    monkeypatch.setattr(ending, "write_report", lambda *_: tmp_path)
    monkeypatch.setattr(ending, "tell", lambda *_, **__: None)
    reporter = pytest.TerminalReporter(pytestconfig, io.StringIO())
    reporter.stats["passed"] = [pytest.TestReport("x", ("", 0, ""), {}, "passed", None, "call")]
    config = SimpleNamespace(stash=pytest.Stash(), option=SimpleNamespace(verbose=0))
    config.stash[SUMMARY] = summary(plan([STILL], 1), [record(each) for each in records])
    config.stash[RUN] = Run(tmp_path, config.stash[SUMMARY].plan, {}, {})
    config.stash[OPTIONS] = Options(seed=1, out=tmp_path, cache=tmp_path)
    pytest_terminal_summary(reporter, config)  # type: ignore[arg-type]
    assert reporter.build_summary_stats_line() == words
