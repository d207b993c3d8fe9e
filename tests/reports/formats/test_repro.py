"""A trial as a script without Stillframe: what it has, how it judges, and what it declines."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from markdown_it import MarkdownIt

from harness.host.process import HOST
from harness.model.cells import Cell, Scenario
from harness.model.commands import Command
from harness.model.errors import UsageError
from harness.model.outcomes import Anomaly, Outcome, Stage
from harness.model.readings import SourceHealth
from harness.records.record import Record
from reports.formats import repro
from tests.reports.synthetic import MOVING, STILL, moving, plan, record, summary_of

SOURCES = {"ledger.c": "int main(void) { return 0; }\n"}
MEMORY = 1000
BEAT = '{"event":"beat","n":1001}'


def text_of(trial: Record) -> str:
    return repro.shell_script(trial, SOURCES, ["/proc", "/report"], {"/data/image.ring": 64})


def judged(tmp_path: Path, *messages: str, goes_on: bool = True) -> str:
    """What the script says of a restored workload with these messages, and with a later one if it `goes_on`."""
    report = tmp_path / "report"
    report.mkdir()
    for number, message in enumerate(messages):
        (report / f"{number:012}").symlink_to(message)
    functions = text_of(moving(MOVING)).rpartition('if [ "${1:-}" = --node ]')[0]
    here = functions.replace("/srv/stillframe", str(tmp_path))
    lines = [here if goes_on else here.replace("await 10", "await 1")]
    lines += [f"report={report} paused="]
    lines += [f"(sleep 0.2; ln -s '{BEAT}' {report}/999999999999) &"] if goes_on else []
    lines += ["stillframe_trial restored clone", "wait", ""]
    path = tmp_path / "judge.sh"
    path.write_text("\n".join(lines), encoding="utf-8")
    HOST.run(["sh", str(path)], deadline=60)
    return (tmp_path / "result").read_text(encoding="utf-8").strip()


def reading(**surfaces: tuple[int | None, int]) -> str:
    listed = [
        {"surface": name, "newest": newest, "newest_wall_ns": 5, "torn": torn, "foreign": 0, "holes": 0, "backwards": 0}
        for name, (newest, torn) in surfaces.items()
    ]
    told = {"event": "reading", "nonce": "00", "n": MEMORY, "wall_ns": 7, "surfaces": listed}
    return json.dumps(told, separators=(",", ":"))


@pytest.mark.parametrize(
    ("surfaces", "told"),
    [
        ({"added": (1000, 0), "tmpfs": (999, 0)}, "consistent at tick 1000"),
        ({"added": (1001, 0)}, "inconsistent disk-ahead: added is ahead of memory by 1 ticks;"),
        ({"added": (998, 0)}, "inconsistent disk-behind: added is behind memory by 2 ticks;"),
        ({"added": (1000, 3)}, "inconsistent torn: added has 3 such records;"),
        ({"added": (None, 0)}, "inconsistent lost: added has no record;"),
    ],
)
def test_a_restored_workload_is_judged_by_its_first_reading(
    tmp_path: Path, surfaces: dict[str, tuple[int | None, int]], told: str
) -> None:
    assert judged(tmp_path, '{"event":"beat","n":900}', reading(**surfaces), reading(added=(5000, 0))) == told


def test_a_restored_workload_has_to_go_on(tmp_path: Path) -> None:
    told = judged(tmp_path, reading(added=(1000, 0)), goes_on=False)
    assert told == "restore-failed: the restored workload does not go on"


def test_a_workload_that_was_started_anew_is_no_restored_one(tmp_path: Path) -> None:
    assert judged(tmp_path, '{"event":"start","n":0}') == "cold-start: the workload was started anew"


def test_the_script_is_a_shells(tmp_path: Path) -> None:
    path = tmp_path / "repro.sh"
    path.write_text(text_of(moving(MOVING)), encoding="utf-8")
    HOST.run(["sh", "-n", str(path)], deadline=20)
    assert "@" not in "".join(line for line in path.read_text().splitlines() if line.startswith(("symptom", "needed")))
    for word in ("x", "0", "-1", "1.5", "99999", "9" * 30):
        said = HOST.run(["sh", str(path), word], deadline=20, accept=(2,))
        assert f"This cannot run here: '{word}' is no number of rounds from 1 to 9999" in said.stderr
    for word in ("--node", "--trial", "--help"):
        said = HOST.run(["sh", str(path), word], deadline=20, accept=(2,))
        assert f"the script uses {word} itself. Use: sh repro.sh [ROUNDS]." in said.stderr


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    trial = moving(MOVING)
    lacking = Command(where="debian-sid", stage=Stage.START, argv=("no-such-runtime", "run"), start_ns=0, seconds=0)
    path = tmp_path / "repro.sh"
    path.write_text(text_of(trial.model_copy(update={"commands": (lacking,)})), encoding="utf-8")
    said = HOST.run(["sh", str(path)], deadline=20, accept=(2,))
    assert "no-such-runtime" in said.stderr or "it needs root" in said.stderr


def test_the_trials_commands_call_the_scripts_own_function() -> None:
    text = text_of(moving(MOVING))
    assert "stillframe-trial" not in text
    assert "stillframe_trial verdict" in text
    assert "cat >ledger.c <<'END_OF_SOURCE'\nint main(void) { return 0; }\nEND_OF_SOURCE" in text
    assert "head -c 64 /dev/zero >storage/image/data/image.ring" in text


@pytest.mark.parametrize(
    ("trial", "symptom"),
    [
        (record(STILL), "any"),
        (moving(MOVING), "disk-ahead"),
        (record(STILL, 0, Outcome.INCONSISTENT, anomalies=(Anomaly.SURFACES_DISAGREE,)), "inconsistent"),
        (record(STILL, 0, Outcome.RESTORE_FAILED), "restore-failed"),
        (record(STILL, 0, Outcome.COLD_START), "cold-start"),
    ],
)
def test_the_symptom_is_what_the_trial_has_found(trial: Record, symptom: str) -> None:
    assert repro.symptom_of(trial) == symptom


def test_of_several_failures_the_first_to_show_is_looked_for() -> None:
    harmed = record(STILL, 0, Outcome.SOURCE_HARMED)
    both = harmed.verdict.model_copy(update={"also": (Outcome.CHECKPOINT_FAILED,)})
    assert repro.symptom_of(harmed.model_copy(update={"verdict": both})) == "checkpoint-failed"


@pytest.mark.parametrize("outcome", [Outcome.VACUOUS, Outcome.NOT_CAPTURED, Outcome.REFUSED, Outcome.UNSUPPORTED])
def test_what_a_script_cannot_tell_is_declined(outcome: Outcome) -> None:
    with pytest.raises(UsageError, match=f"a script cannot tell {outcome}"):
        repro.symptom_of(record(STILL, 0, outcome))


def test_an_end_that_is_not_heeded_is_waited_for() -> None:
    deaf = record(STILL, 0, Outcome.SOURCE_HARMED)
    assert "\ndeaf=\n" in text_of(deaf)
    deaf = deaf.model_copy(update={"source": SourceHealth(ticking=True, stops=False)})
    assert repro.symptom_of(deaf) == "source-harmed"
    assert "\ndeaf=yes\n" in text_of(deaf)


def leaking(cell: Cell, item: str, outcome: Outcome) -> Record:
    return record(cell, 0, outcome).model_copy(update={"leaks": (item,)})


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ("file /run/left", "file /run/left"),
        ("mount /mnt (tmpfs), again: 2", "mount /mnt"),
        ("cgroup /sys/fs/cgroup/unified/stillframe-1-2-runc/left", "cgroup left"),
        ("process 232 sleep state S cgroup 0::/one", "process sleep"),
        ("nftables table left 1", "nftables left"),
    ],
)
def test_what_was_left_behind_is_looked_for_by_its_name(item: str, line: str) -> None:
    text = text_of(leaking(STILL, item, Outcome.LEAKED))
    assert f"\nleft='{line}'\n" in text
    assert "\nleft=''\n" in text_of(leaking(MOVING, item, Outcome.INCONSISTENT))


@pytest.mark.parametrize("item", ["link eth0", f"mount /run/{64 * 'a'} (tmpfs)", "file /run/';reboot;'", "file /a\nb"])
def test_what_has_no_name_to_look_for_is_declined(item: str) -> None:
    with pytest.raises(UsageError, match="a script cannot look for what was left behind"):
        text_of(leaking(STILL, item, Outcome.LEAKED))


LINES = "\n}\ntouch RAN\n"
HOSTILE = (f"'{LINES}", f"\x1b'{LINES}#", f"END{LINES}", "$(touch RAN)", "`touch RAN`", '"; touch RAN; "')


@pytest.mark.parametrize("text", HOSTILE)
def test_no_word_of_a_record_acts_before_the_trial(tmp_path: Path, text: str) -> None:
    word, digest = text.replace("RAN", str(tmp_path / "ran")), "ab" * 32
    told: list[dict[str, Any]] = [
        {"argv": ("runc", word)},
        {"argv": (word, "x")},
        {"argv": ("runc",), "cwd": word},
        {"argv": ("sha256sum", word), "stdout": f"{digest}  {word}"},
        {"argv": ("runc", f"sha256:{digest}"), "exit_code": 1, "stderr": word},
        {"write_path": word, "write_text": word, "write_mode": 0o644},
        {"write_path": f"/{digest}", "write_text": f"{word}\n", "write_mode": 0o644},
        {"argv": ("runc",), "background": True, "where": word},
    ]
    commands = [Command(**({"where": "x", "stage": Stage.START, "start_ns": 0, "seconds": 0} | each)) for each in told]
    trial = moving(MOVING).model_copy(update={"commands": tuple(commands), "log": (word,)})
    functions = text_of(trial).rpartition('if [ "${1:-}" = --node ]')[0]
    for shell in ("sh", "bash"):
        assert HOST.run([shell, "-c", f"{functions}\necho whole"], deadline=20).stdout == "whole\n"
    assert not list(tmp_path.iterdir())


def test_no_word_of_a_record_is_markup_in_the_report() -> None:
    trial, planned = moving(MOVING), plan([MOVING])
    poison = "<img src=x>\n# heading [a](http://b)"
    verdict = trial.verdict.model_copy(update={"reason": poison})
    hostile = trial.model_copy(update={"log": ("```", "# heading", "````"), "verdict": verdict})
    told = repro.upstream_report(summary_of(trial), hostile, planned, notes=[poison], packages=[poison])
    tokens = MarkdownIt().parse(told)
    assert [each.content for each in tokens if each.type == "fence"][-1] == "```\n# heading\n````\n"
    assert not [each for each in tokens if each.type in ("html_block", "link_open")]
    assert [tokens[at + 1].content for at, each in enumerate(tokens) if each.type == "heading_open"][-1] == "Log"


def test_a_digest_that_was_never_told_stays_as_it_is() -> None:
    asked = Command(where="debian-sid", stage=Stage.PREPARE, argv=("sha256sum", "/layer"), start_ns=0, seconds=0)
    trial = moving(MOVING)
    assert "sha256sum /layer" in text_of(trial.model_copy(update={"commands": (asked, *trial.commands)}))


def test_what_a_script_cannot_repeat_is_declined() -> None:
    across = STILL.model_copy(update={"restore": MOVING.checkpoint.model_copy(update={"runtime": "crun"})})
    for cell in (across, STILL.model_copy(update={"scenario": Scenario.GROUP})):
        with pytest.raises(UsageError, match="a script repeats live and paused checkpoints of one participant"):
            text_of(record(cell))


def test_the_archive_has_script_report_record_and_plan(tmp_path: Path) -> None:
    trial, planned = moving(MOVING), plan([MOVING])
    documents = {repro.SCRIPT: text_of(trial), repro.README: repro.upstream_report(summary_of(trial), trial, planned)}
    repro.write(tmp_path / "new", documents, trial, planned)
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == [repro.README, repro.BUNDLE, repro.SCRIPT]
    packed = zstandard.ZstdDecompressor().stream_reader((tmp_path / "new" / repro.BUNDLE).read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == [repro.SCRIPT, repro.README, "record.json", "plan.json"]
    told = documents[repro.README]
    assert "## Versions" in told
    assert "sudo sh repro.sh" in told
    assert "rootfs is ahead" in told
