"""The generated parts of `docs/reference`: `python -m harness.reference.pages` writes them anew from the code.

In a page, such a part stands between the lines `<!-- generated: NAME -->` and `<!-- end: NAME -->`. The rest of the
page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.commands.declarations import checkpoints, reports, runs
from harness.commands.declarations.command import Command
from harness.images.engines import ENGINES
from harness.images.routes import ROUTES
from harness.model.cells import FreezePolicy, Scenario, SurfaceKind
from harness.model.controls import CANARY, CONTROLS, Proof
from harness.model.errors import EXIT_CODES
from harness.model.expectations import DeclarationFile
from harness.model.machine import Condition
from harness.model.mutants import MUTANTS
from harness.model.outcomes import Anomaly, Outcome, Stage
from harness.model.readings import Witness
from harness.oracle.judge import Check
from harness.records.inspection import Finding
from harness.records.schemas import schemas
from harness.reference.shapes import bullets, code, command_sections, listed, parts_of, schema_fields, table
from harness.run.flags import default_cache
from harness.runtimes import RUNTIMES
from harness.sameness.facts import FACTS
from harness.stacks import definition
from harness.stacks.definition import StackDefinition
from harness.trial.corpus import Kept
from harness.workload.definitions import Workload, available, find
from reports.analysis import compare
from reports.analysis.known import DEMANDS, State
from reports.formats import allure, badges, ctrf, feeds, index, junit
from reports.paths import ALLURE, BADGE, CTRF, INDEX, JUNIT
from reports.words.outcomes import MEANINGS, SCENARIOS

RUN_FILES = {
    "plan": "`plan.json`",
    "record": "`records/*.jsonl`, one line each",
    "closing": "`closing.json`",
    "image-path": "`images.jsonl`, one line each",
}
INSPECTIONS = {"inspection": "`stillframe inspect --json`"}
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
MARKED = re.compile(r"(?s)(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end: \2 -->\n)")

POLICIES = {
    FreezePolicy.NONE: "nobody: memory is saved, the container runs on, then its writable layer is copied",
    FreezePolicy.ENGINE: "the engine, in its own way",
    FreezePolicy.PAUSE: "the runtime's own pause command, around both steps",
    FreezePolicy.CGROUP: "the harness writes the kernel's cgroup freezer, around both steps",
    FreezePolicy.HOOK: "CRIU: the writable layer is copied in its post-dump script, while the tasks are still stopped",
}
ANOMALIES = {
    Anomaly.DISK_AHEAD: "a surface holds ticks that memory has not reached",
    Anomaly.DISK_BEHIND: "a surface lacks ticks that memory has passed, or holds nothing",
    Anomaly.TORN: "a record has a wrong checksum, belongs to another workload, or sits in the wrong slot",
    Anomaly.SURFACES_DISAGREE: "two files are more than one tick apart",
    Anomaly.TIME_BACKWARDS: "a record has an earlier clock time than the record before it",
    Anomaly.ORDER_BROKEN: "a surface is newer than a file that is written before it",
    Anomaly.RECORD_LOST: "a record or line is missing below the newest one",
    Anomaly.RECORD_REPEATED: "a record was appended twice, or a line is in a log twice",
    Anomaly.DAMAGED: "an application calls its own files damaged",
    Anomaly.CONTAINERS_DISAGREE: "the memories of containers that tick together are more than one tick apart",
}
STAGES = {
    Stage.PREPARE: "write configuration, start daemons, load the image",
    Stage.START: "start the source container, and wait for the planned moment",
    Stage.FREEZE: "hold the container still, if the freeze policy does that",
    Stage.CHECKPOINT: "the runtime takes the live checkpoint",
    Stage.CAPTURE: "the harness copies the writable layer, where the runtime does not",
    Stage.THAW: "let the container run again",
    Stage.RESTORE: "make a new container from the checkpoint",
    Stage.READ: "read the checkpoint, the source and the restored container",
    Stage.STOP: "ask the source to end",
    Stage.CLEAN_UP: "remove containers and files",
    Stage.AUDIT: "look for anything left behind",
}
WITNESSES = {
    Witness.RESTORED: "the restored workload reports what it finds",
    Witness.OFFLINE: "the harness reads the checkpoint's files, without a restore",
    Witness.RECOVERED: "a fresh application reads the files of the checkpoint, without a restore",
    Witness.AFTERWARDS: "a fresh application reads the restored container's files after that has run on and ended",
    Witness.SOURCE: "the source workload reports what it finds after the checkpoint",
}
FINDINGS = {
    Finding.CONSISTENT: "memory and every surface are of one instant",
    Finding.NOTHING_TO_COMPARE: "no workload in memory, or none of its surfaces in the checkpoint",
    Finding.INCOMPLETE: "a surface is not in the checkpoint; the rest is of one instant",
    Finding.INCONSISTENT: "memory and disk are not of one instant",
}
STATES = {
    State.MATCHED: "the cell is as declared",
    State.PASSES_NOW: "the cell is clean",
    State.FAILS_DIFFERENTLY: "another outcome, anomaly or signature",
    State.EXPIRED: "`review-by` has passed",
    State.NOT_SEEN: "the run has no result for the cell",
}
PROVES = {True: "yes", False: "no", None: "proves nothing"}


def generated() -> dict[str, Callable[[], str]]:
    """All generated parts, by name."""
    return {
        "cell-commands": lambda: _commands(runs.COMMANDS),
        "run-commands": lambda: _commands(reports.COMMANDS),
        "checkpoint-commands": lambda: _commands(checkpoints.COMMANDS),
        "scenarios": lambda: _meanings("scenario", Scenario, SCENARIOS),
        "policies": lambda: _meanings("policy", FreezePolicy, POLICIES),
        "surfaces": lambda: table(("kind", "example", "tried by workload"), _surfaces()),
        "workloads": lambda: bullets((code(each.name), _workload(each)) for each in _workloads()),
        "stacks": lambda: bullets((code(name), _stack(definition.load(name))) for name in definition.available()),
        "runtimes": lambda: bullets(_ways()),
        "outcomes": lambda: table(("outcome", "meaning", "convicts the cell"), _outcomes()),
        "anomalies": lambda: _meanings("anomaly", Anomaly, ANOMALIES),
        "stages": lambda: _meanings("stage", Stage, STAGES),
        "witnesses": lambda: _meanings("witness", Witness, WITNESSES),
        "findings": lambda: _meanings("finding", Finding, FINDINGS),
        "states": lambda: table(("state", "meaning", "what to do"), _states()),
        "differences": lambda: _meanings("kind", compare.Kind, compare.MEANINGS),
        "conditions": lambda: listed(each.value for each in Condition),
        "exit-codes": lambda: table(("code", "meaning"), ((f"{code:d}", told) for code, told in EXIT_CODES.items())),
        "controls": lambda: bullets(map(_proof, (CANARY, *CONTROLS.values()))),
        "mutants": lambda: bullets(map(_proof, MUTANTS)),
        "facts": lambda: table(("fact", "about", "where the kernel tells it", "can loosen"), _facts()),
        "checks": lambda: bullets((each.value, "") for each in Check),
        "formats": lambda: bullets(_formats()),
        "producers": lambda: bullets((code(each.name), each.what) for engine in ENGINES for each in engine.producers),
        "routes": lambda: bullets((code(each.name), each.what) for each in ROUTES),
        "records": lambda: schema_fields(_documents(RUN_FILES)),
        "inspections": lambda: schema_fields(
            _documents(INSPECTIONS) | {"`kept.json` of a corpus": Kept.model_json_schema()},
            elsewhere=dict.fromkeys(parts_of(_documents(RUN_FILES)), "records.md"),
        ),
        "definitions": lambda: schema_fields(
            {
                "A stack: `ci/stacks/NAME.toml`": StackDefinition.model_json_schema(),
                "A workload: `workloads/NAME/workload.toml`": _without(Workload.model_json_schema(), "folder"),
                "Known issues: `scenarios/expectations/*.toml`": DeclarationFile.model_json_schema(),
            }
        ),
    }


def _meanings(heading: str, names: Iterable[str], told: object) -> str:
    return table((heading, "meaning"), ((code(each), told[each]) for each in names))  # type: ignore[index]


def _facts() -> Iterator[tuple[str, str, str, str]]:
    for name, fact in FACTS.items():
        yield name, fact.aspect.value, fact.source, "yes" if fact.directed else ""


def _workloads() -> Iterator[Workload]:
    yield from map(find, available())


def _surfaces() -> Iterator[tuple[str, str, str]]:
    for kind in SurfaceKind:
        found = [(each.name, surface) for each in _workloads() for surface in each.surfaces if surface.kind is kind]
        yield code(kind), found[0][1].description, listed(name for name, _ in found)


def _workload(each: Workload) -> str:
    more = (
        ". For the instrument's own proof only" if each.proof else ". Under every policy" if each.every_policy else ""
    )
    return f"{each.description}{more}. Surfaces: {listed(surface.name for surface in each.surfaces)}"


def _stack(stack: StackDefinition) -> str:
    return f"{stack.description}. Runtimes: {listed(stack.runtimes)}"


def _ways() -> Iterator[tuple[str, str]]:
    """Ways of runtimes; those that differ in nothing but the runtime's name are told once."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, adapter in sorted(RUNTIMES.items()):
        for way in adapter.ways:
            outside = listed(sorted(way.outside))
            told = f"{way.what}. Policies: {listed(way.policies)}. Outside of the checkpoint: {outside}"
            found.setdefault((way.name, told), []).append(name)
    for (way_name, told), names in found.items():
        yield f"{listed(names)}, way {code(way_name)}" if way_name else listed(names), told


def _outcomes() -> Iterator[tuple[str, str, str]]:
    for each in Outcome:
        yield code(each), MEANINGS[each], PROVES[each.violates]


def _states() -> Iterator[tuple[str, str, str]]:
    for each in State:
        todo = DEMANDS.get(each, "").format(place="the declaration", review="the date")
        yield each.value, STATES[each], todo or "nothing"


def _proof(each: Proof) -> tuple[str, str]:
    found = " ".join(map(code, filter(None, (each.outcome, each.anomaly))))
    neighbour = f". Neutral neighbour: {each.neutral}" if each.neutral else ""
    return code(each.name), f"{each.what}. Must be found: {found}{neighbour}"


def _formats() -> Iterator[tuple[str, str]]:
    left_out = {
        JUNIT: junit.LEFT_OUT,
        CTRF: ctrf.LEFT_OUT,
        ALLURE: allure.LEFT_OUT,
        BADGE: badges.LEFT_OUT,
        INDEX: index.LEFT_OUT,
        "feeds/*.atom": feeds.LEFT_OUT,
    }
    yield from ((code(place), told) for place, told in left_out.items())


def _commands(commands: Iterable[Command]) -> str:
    return command_sections(commands, {str(default_cache()): "~/.cache/stillframe"})


def _documents(titles: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found = schemas()
    return {title: found[name] for name, title in titles.items()}


def _without(schema: dict[str, object], name: str) -> dict[str, object]:
    properties = schema["properties"]
    return schema | {"properties": {key: each for key, each in properties.items() if key != name}}  # type: ignore[attr-defined]


def texts() -> dict[Path, str]:
    """Generate what each page with a generated part has to hold; a page with an unknown part raises `KeyError`."""
    parts = generated()

    def anew(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        return f"{begin}\n{parts[name]()}\n\n{end}"

    pages = {path: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
    return {path: MARKED.sub(anew, text) for path, text in pages.items()}


def main() -> None:
    """Write all generated parts."""
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
