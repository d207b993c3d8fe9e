"""A run on disk: its folder, its plan, and its stacks."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from harness.foreign.roots import RootSource
from harness.host import audit, cgroups
from harness.host.facts import host_facts
from harness.host.names import redaction_here
from harness.model.cells import Cell, base_of
from harness.model.errors import EnvironmentUnfit, StillframeError
from harness.model.expectations import STILL, covered, crashes, differences, unmatched
from harness.model.machine import Condition
from harness.privacy.redaction import FORMS, Redaction
from harness.records import run_files
from harness.records.documents import writable
from harness.records.image_path import ImagePath
from harness.records.plan import Closing, Effort, Plan
from harness.records.record import Record
from harness.run import matrix, stopping
from harness.run.hindrances import hindered, hit, keys_of, records, sentences
from harness.run.options import Options
from harness.stacks import build, definition
from harness.workload import definitions
from harness.workload.programs import compile_all
from reports.text import counted


def need_root() -> None:
    """Raise `EnvironmentUnfit` unless this process is root's."""
    if os.geteuid() != 0:
        remedy = "Use sudo; `stillframe plan` works without root."
        raise EnvironmentUnfit("checkpointing containers needs root", remedy=remedy)


@dataclass(frozen=True)
class Run:
    """A run on disk. `stacks` has each stack's root, or the reason why there is none.

    `lost` has each participant that cannot take part, and the reason; the records of its trials are already written.
    """

    folder: Path
    plan: Plan
    stacks: dict[str, Path | str]
    binaries: dict[str, Path]
    images: dict[str, Path | str] = field(default_factory=dict)
    """Root file system of each application's image, or the reason why there is none."""
    corpus: Path | None = None
    redaction: Redaction = FORMS
    """Redaction of everything that is written."""
    before: audit.Snapshot | None = None
    """Snapshot of the host before the run; only in the process that began it."""
    lost: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, options: Options, *, progress: build.Progress) -> Run:
        """Write the plan, then prepare stacks and programs; what is lacking costs its own cells only.

        Raise `EnvironmentUnfit` if no cell is left.
        """
        need_root()
        swept = cgroups.sweep()
        if swept:
            progress(f"host: removed {len(swept)} control group{'s' * (len(swept) > 1)} of a killed run")
        before, cells, redaction = (
            audit.of_host(),
            options.cells,
            redaction_for(options.cells, keep_names=options.keep_names),
        )
        name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{options.seed:08x}"
        name += options.shard.suffix if options.shard else ""
        folder = options.out / name
        today = options.today
        should_be = {cell.id: matrix.expected(cell, today) for cell in cells}
        somewhere = {cell.id: matrix.expected(cell, today, conditions=tuple(Condition)) for cell in cells}
        plan = Plan(
            run=name,
            stillframe=metadata.version("stillframe"),
            created_ns=time.time_ns(),
            seed=options.seed,
            rounds=options.trials,
            rate=options.rate,
            rule=options.rule,
            settings=options.settings,
            cells=cells,
            controls=options.controls,
            host=redaction.of(host_facts()),
            expectations={cell: each for cell, each in should_be.items() if each != STILL},
            conditional={cell: each for cell, each in somewhere.items() if each.when},
            words=matrix.words(cells),
            covered=covered(matrix.default_cells()),
            unmatched=unmatched(matrix.every_cell()),
            crashes=crashes(today),
            differences=differences(today),
            fewer=options.fewer,
            shard=options.shard,
        )
        run_files.write_plan(folder, plan)
        try:
            executed = (*plan.share.cells, *(control.cell for control in plan.share.controls))
            keys = {key for cell in executed for key in keys_of(cell)}
            binaries = compile_all(options.cache)
            names = sorted({who.stack for who, _ in keys})
            progress(f"checking {counted(len(set(map(base_of, names))), 'stack')}")
            stacks = _prepare(names, options, progress)
            images = _images({cell.workload for cell in executed}, options, progress)
            progress(f"asking {counted(len({who for who, _ in keys}), 'participant')} what they can do")
            lost = hindered(keys, stacks, options.cgroups)
            run = cls(folder, plan, stacks, binaries, images, options.corpus, redaction, before, lost)
            run._write_off([*map(redaction.of, records(plan, lost))], [*sentences(plan, lost)], progress)
            run._write_down(keep_names=options.keep_names)
        except BaseException:
            if not stopping.has_records(folder):
                stopping.drop(folder)
            raise
        return run

    def _write_down(self, *, keep_names: bool) -> None:
        """Write for the workers what was prepared."""
        state = {
            "stacks": _told(self.stacks),
            "images": _told(self.images),
            "workloads": [definitions.given_as(cell.workload) for cell in self.plan.cells],
            "binaries": {which: str(path) for which, path in self.binaries.items()},
            "lost": dict(self.lost),
            "corpus": self.corpus and str(self.corpus),
            "keep_names": keep_names,
        }
        run_files.write_aside(self.folder / "prepared.json", json.dumps(state), private=True)

    @classmethod
    def join(cls, folder: Path) -> Run:
        """Read in another process what `begin` has prepared."""
        state = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
        stacks, images = (
            {name: Path(at["root"]) if "root" in at else at["error"] for name, at in state[which].items()}
            for which in ("stacks", "images")
        )
        for each in state["workloads"]:
            definitions.name_of(each)
        binaries = {name: Path(path) for name, path in state["binaries"].items()}
        corpus, plan = Path(state["corpus"]) if state["corpus"] else None, run_files.read_plan(folder)
        redaction = redaction_for(plan.cells, keep_names=state["keep_names"])
        return cls(folder, plan, stacks, binaries, images, corpus, redaction, lost=state["lost"])

    def loses(self, cell: Cell) -> bool:
        """Whether a participant of the cell cannot take part."""
        return hit(cell, self.lost)

    def _write_off(self, trials: Sequence[Record], told: Sequence[str], progress: build.Progress) -> None:
        for record in trials:
            run_files.append(self.folder, record)
        if trials and all(map(self.loses, (*self.plan.share.cells, *(each.cell for each in self.plan.share.controls)))):
            self.point()
            self.close()
            raise EnvironmentUnfit(" ".join(told))
        for sentence in told:
            progress(sentence)

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to end, so that no other trial may begin."""
        return (self.folder / stopping.FILE).exists()

    def point(self) -> None:
        """Make `latest` lead to this run, which has a record now."""
        _point(self.folder.with_name("latest"), self.folder.name)

    def close(self, effort: Effort | None = None, *, interrupted: str = "") -> None:
        """Audit the host for leaks and write the run's closing document; `interrupted`: by which signal."""
        leaks = audit.of_host().leaks(self.before) if self.before else ()
        closing = Closing(run=self.plan.run, end_ns=time.time_ns(), leaks=leaks, effort=effort, interrupted=interrupted)
        run_files.write_closing(self.folder, self.redaction.of(closing))
        (self.folder / stopping.FILE).unlink(missing_ok=True)


def redaction_for(named: Iterable[Cell | ImagePath], *, keep_names: bool) -> Redaction:
    """Return the redaction for records; words of cell ids stay, even if a machine or a user has the same name."""
    return FORMS if keep_names else redaction_here({word for each in named for word in re.findall(r"\w+", each.id)})


def _told(roots: Mapping[str, Path | str]) -> dict[str, dict[str, str]]:
    return {name: {"root" if isinstance(at, Path) else "error": str(at)} for name, at in roots.items()}


def _images(names: Iterable[str], options: Options, progress: build.Progress) -> dict[str, Path | str]:
    """Prepare the images of the applications among these workloads, one after the other."""
    found: dict[str, Path | str] = {}
    for name in sorted(names):
        application = definitions.find(name).application
        if application and application.needed:
            found[name] = image_of(name, options, progress)
    return found


def image_of(name: str, options: Options, progress: build.Progress) -> Path | str:
    """Prepare the root file system of an application's image, or tell why there is none; `name`: of the workload."""
    application = definitions.find(name).application
    given = application.model_dump(include=set(RootSource.model_fields)) if application else {}
    root = _built(definition.ImageDefinition(name="image", description="", **given), options, progress)
    return root if isinstance(root, Path) else f"the workload {name} has no image: {root}"


def _built(what: definition.StackDefinition, options: Options, progress: build.Progress) -> Path | str:
    check = stopping.STOPPING.check
    try:
        return build.prepare(what, options.cache, mirror=options.mirror, progress=progress, waiting=check)
    except StillframeError as error:
        return str(error)


def _prepare(names: Sequence[str], options: Options, progress: build.Progress) -> dict[str, Path | str]:
    def prepare(name: str) -> Path | str:
        try:
            return _built(definition.load(name), options, progress)
        except StillframeError as error:
            return str(error)

    bases = sorted(set(map(base_of, names)))
    with ThreadPoolExecutor(max_workers=max(1, len(bases))) as pool:
        roots = dict(zip(bases, pool.map(prepare, bases), strict=True))
    return {name: roots[base_of(name)] for name in names}


def _point(link: Path, target: str) -> None:
    aside = link.with_name(f".{link.name}-{os.getpid()}")
    with writable(link):
        aside.symlink_to(target)
        aside.rename(link)
