"""A trial as a shell script that needs neither Python nor Stillframe, with a report for its upstream.

Comes in: the record of a trial, and the sources of its workload. Goes out: `repro.sh`, `README.md`, and an archive of
both with the record, the plan and the log. The script judges by what the workload itself says after the restore, so
what only a reading of the checkpoint's files can find is declined.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from textwrap import wrap

import zstandard

from harness.model.cells import Scenario
from harness.model.errors import UsageError
from harness.model.outcomes import Anomaly, Outcome
from harness.records.documents import writable
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.cells import CellSummary
from reports.text import clean, in_markdown, one_line
from reports.words.cells import entry
from reports.words.outcomes import MEANINGS, expectation
from reports.words.replay import PREAMBLE, PROGRAM
from reports.words.script import script

ANY = "any"
"""Symptom that the script of a clean trial looks for."""
WIDTH = 110
"""Characters of a note's line in the script."""
SCRIPT, README, BUNDLE, CHECKPOINT = "repro.sh", "README.md", "bundle.tar.zst", "checkpoint.tar"
TEMPLATE = Path(__file__).with_name(SCRIPT)
SCENARIOS = (Scenario.LIVE, Scenario.PAUSED)
TOLD = (
    Outcome.HUNG,
    Outcome.CHECKPOINT_FAILED,
    Outcome.SOURCE_HARMED,
    Outcome.RESTORE_FAILED,
    Outcome.COLD_START,
    Outcome.INCONSISTENT,
    Outcome.LEAKED,
)
"""Outcomes that the workload and the commands themselves tell, or that one can look for by name: the first to show."""
ANOMALIES = (Anomaly.DISK_AHEAD, Anomaly.DISK_BEHIND, Anomaly.TORN)
"""Anomalies that the workload tells by these names; the others are told as inconsistent."""
LEFT = re.compile(
    r"(file) ([\w./+:-]+)|(mount) ([\w./+:-]+) \(.*|(cgroup) .*/([\w.+:-]+)|(process) \d+ ([\w.+:-]+).*"
    r"|(nftables) \w+ ([\w.+:-]+).*",
    re.ASCII,
)
"""Kind and name of something that was left behind, as the audit tells it."""
RANDOM = re.compile(r"[0-9a-f]{12}")
"""A part of a name that is another one each time."""
TOOLS = {
    *("cp", "mkdir", "mv", "ln", "rm", "mount", "umount", "tar", "sha256sum", "printf", "install", "sh", "find"),
    *("timeout", "test", "true", "cat", "sed", "grep"),
}
"""Programs that every system has."""


def symptom_of(record: Record) -> str:
    """Return what the script looks for; `ANY` for a trial without a failure. `UsageError` if it cannot tell."""
    outcomes = [each for each in TOLD if each in record.verdict.found]
    if record.verdict.outcome is Outcome.CONSISTENT:
        return ANY
    if not outcomes:
        what = f"a script cannot tell {record.verdict.outcome} ({MEANINGS[record.verdict.outcome]})"
        raise UsageError(what, remedy="`stillframe show` prints the commands, for `stillframe shell`.")
    if outcomes[0] is Outcome.INCONSISTENT:
        return next((each.value for each in ANOMALIES if each in record.verdict.anomalies), outcomes[0].value)
    return outcomes[0].value


def shell_script(
    record: Record,
    sources: Mapping[str, str],
    folders: Iterable[str],
    files: Mapping[str, int],
    notes: Sequence[str] = (),
) -> str:
    """Write the script of a trial.

    `sources`: the workload's C files by name; `folders` of its image; `files`: the image's files with their sizes;
    `notes`: lines about the script.
    """
    cell = record.cell
    if cell.restore != cell.checkpoint or cell.scenario not in SCENARIOS:
        what = f"a script repeats live and paused checkpoints of one participant, and not {cell.id}"
        raise UsageError(what, remedy="`stillframe show` prints its commands.")
    if any(command.argv[:1] == ("cri",) for command in record.commands):
        raise UsageError("a script cannot make calls of CRI", remedy="`stillframe show` prints them.")
    symptom = symptom_of(record)
    values = {
        "TITLE": f"{one_line(cell.id)}: {record.verdict.outcome}",
        "CELL": one_line(cell.id),
        "NOTES": "".join(f"# {line}\n" for note in (*notes, "") for line in wrap(one_line(note), WIDTH) or [""])
        if notes
        else "",
        "SYMPTOM": symptom,
        "PROGRAMS": " ".join(_programs(record)),
        "LEFT": "\n".join(_left(record)) if symptom == Outcome.LEAKED else "",
        "DEAF": "yes" if record.source.stops is False else "",
        "FOLDERS": " ".join(folders),
        "FILES": "\n".join(f"    head -c {size} /dev/zero >storage/image{path}" for path, size in files.items()),
        "PAUSED": "yes" if cell.scenario is Scenario.PAUSED else "",
        "TRIAL": "\n".join(_trial(record)),
        "SOURCES": "\n".join(_sources(sources)),
    }
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def _programs(record: Record) -> list[str]:
    names = (PurePosixPath(command.argv[0]).name for command in record.commands if command.argv)
    found = [*names, *(each.name for each in record.every_component if each.name in ("criu", "runc", "crun", "runsc"))]
    written = {PurePosixPath(command.write_path).name for command in record.commands if command.write_path}
    return sorted({name for name in found if re.fullmatch(r"[\w.+-]+", name)} - TOOLS - written)


def _left(record: Record) -> Iterator[str]:
    """Return kinds and names of what the trial has left behind; `UsageError` if a name is another one each time."""
    for item in record.leaks:
        kind, name = [*filter(None, found.groups())] if (found := LEFT.fullmatch(item)) else ("", "")
        if not kind or RANDOM.search(name):
            what = f"a script cannot look for what was left behind: {one_line(item)}"
            raise UsageError(what, remedy="`stillframe show` prints the commands, for `stillframe shell`.")
        yield f"{kind} {name}"


def _trial(record: Record) -> Iterator[str]:
    """Return the commands, with calls of the script's own function where a trial waits and reads."""
    for line in script(record):
        if line in PREAMBLE or line.startswith(f"{PROGRAM} begin "):
            continue
        yield line.replace(PROGRAM, PROGRAM.replace("-", "_"), 1) if line.startswith(PROGRAM) else line


def _sources(sources: Mapping[str, str]) -> Iterator[str]:
    for name, text in sources.items():
        yield f"    cat >{name} <<'END_OF_SOURCE'\n{text.rstrip()}\nEND_OF_SOURCE"


def upstream_report(
    cell: CellSummary, record: Record, plan: Plan, notes: Sequence[str] = (), packages: Sequence[str] = ()
) -> str:
    """Write a report for the project that can mend it; `notes`: lines about script and checkpoint, `packages`."""
    host = record.host or plan.host
    built = {each.name: each for each in record.every_component if each.sha256}.values()
    clean_trial = record.verdict.outcome is Outcome.CONSISTENT
    ends = (
        "0 if any round fails, with 1 if all are clean" if clean_trial else "0 if it has reproduced this, with 1 if not"
    )
    lines = [
        f"# {in_markdown(cell.cell.id)}: {record.verdict.outcome}",
        "",
        f"**Seen**: {in_markdown(entry(cell))}. {MEANINGS[record.verdict.outcome]}. Trial {record.trial} of that run:",
        "",
        f"> {in_markdown(record.verdict.reason)}",
        "",
        f"**Expected**: {expectation(cell.expectation)}, because {in_markdown(cell.expectation.reason)}.",
        "",
        "A small program, `ledger`, counts in memory and writes each tick into files, which are called surfaces.",
        "A checkpoint of one instant has the same tick in memory and on disk.",
        "",
        "## Versions",
        "",
        *(_item(f"{side}: {', '.join(map(str, each))}") for side, each in record.components.items()),
        _item(f"kernel {host.kernel}, {host.architecture}, control groups {host.cgroups}, {host.os}"),
        *(_item(f"workaround {each.name}: {each.change}") for each in record.accommodations),
        *(_item(f"{each.name}: a build of its maker's own, sha256 {each.sha256}") for each in built),
        *(_item(f"{each}, in the stack as it is now") for each in packages),
        "",
        "## How to run it",
        "",
        "```sh",
        f"sudo sh {SCRIPT}",
        "```",
        "",
        f"It needs root, a C compiler and {', '.join(_programs(record))}.",
        f"It ends with {ends}, and with 2 if it cannot run.",
        "",
    ]
    lines += [*map(_item, notes)] + [""] * bool(notes)
    if record.log:
        told = [clean(line) for line in record.log]
        fence = "`" * (2 + max(map(len, re.findall("`+", "\n".join(("`", *told))))))  # longer than any in the log
        lines += ["## Log", "", f"{fence}text", *told, fence, ""]
    return "\n".join(lines)


def _item(text: str) -> str:
    return f"- {in_markdown(text)}"


def write(folder: Path, documents: Mapping[str, str], record: Record, plan: Plan, checkpoint: bytes = b"") -> None:
    """Write the documents, by name, and the archive of them with record, plan and checkpoint into a new folder."""
    listed = {
        **{name: text.encode() for name, text in documents.items()},
        "record.json": f"{record.model_dump_json(indent=1)}\n".encode(),
        "plan.json": f"{json.dumps(_reduced(plan, record), indent=1)}\n".encode(),
        **({CHECKPOINT: checkpoint} if checkpoint else {}),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in listed.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if name == SCRIPT else 0o644
            archive.addfile(info, io.BytesIO(content))
    bundle = zstandard.ZstdCompressor().compress(packed.getvalue())
    written = {**{name: listed[name] for name in documents}, BUNDLE: bundle}
    with writable(folder), contextlib.ExitStack() as undo:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in written.items():
            undo.callback((folder / name).unlink, missing_ok=True)
            (folder / name).write_bytes(content)
        (folder / SCRIPT).chmod(0o755)
        undo.pop_all()


def _reduced(plan: Plan, record: Record) -> dict[str, object]:
    """Return the plan with nothing but this cell."""
    none: dict[str, object] = {"controls": (), "expectations": {}, "conditional": {}, "fewer": {}}
    own = plan.model_copy(update={"cells": (record.cell,), **none})
    raw = own.model_dump(mode="json")
    raw["expectations"] = {record.cell.id: plan.expected(record.cell, record.host).model_dump(mode="json")}
    return raw
