"""Options, declared once as data: pytest and the console command take them from here."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from harness.model.cells import Cell, CgroupVersion, Settings
from harness.model.controls import Control
from harness.model.errors import UsageError
from harness.model.shard import Shard
from harness.run import matrix
from harness.trial import corpus
from reports.analysis.statistics import clean_trials, rate_bound
from reports.words.numbers import percent

DEFAULT_ROUNDS = 5
MOST_ROUNDS = 100_000
SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
CACHE_VARIABLE = "STILLFRAME_CACHE"


def default_cache() -> Path:
    """`$STILLFRAME_CACHE`, or the folder for us in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE_VARIABLE) or Path(base) / "stillframe")


CHOICES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--stack", {"action": "append", "default": [], "metavar": "NAME", "help": "stack to take part; repeatable"}),
    ("--runtime", {"action": "append", "default": [], "metavar": "NAME", "help": "runtime to take part; repeatable"}),
    ("--policy", {"action": "append", "default": [], "metavar": "NAME", "help": "freeze policy; repeatable"}),
    (
        "--cell",
        {
            "action": "append",
            "default": [],
            "metavar": "ID",
            "help": "cell by its id, shell patterns allowed; repeatable",
        },
    ),
    (
        "--interop",
        {
            "action": "store_true",
            "help": "who restores what whom has checkpointed: all pairs of participants that write the same kind, as "
            "they are and over bridges; and what becomes of checkpoint images (see the command `images`)",
        },
    ),
    (
        "--shard",
        {
            "default": None,
            "metavar": "K/N",
            "help": "execute one share of the run, the Kth of N: each machine takes another, all the same --seed, and "
            "`report` reads them together",
        },
    ),
)
CORPUS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--keep",
        {
            "type": Path,
            "default": None,
            "metavar": "DIR",
            "help": "keep a checkpoint of each participant in this folder (see the command `corpus`)",
        },
    ),
    (
        "--kept",
        {
            "type": Path,
            "default": None,
            "metavar": "DIR",
            "help": "restore what is kept in this folder (see the command `corpus`)",
        },
    ),
)
SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--rounds",
        {
            "type": int,
            "default": None,
            "metavar": "N",
            "help": f"trials per cell; fewer where no moment has to be hit (default {DEFAULT_ROUNDS})",
        },
    ),
    (
        "--rate",
        {
            "type": float,
            "default": None,
            "metavar": "P",
            "help": "instead of --rounds: try each cell until its first violation, or until so many clean trials "
            "that its rate is below P with 95 %% confidence (0 < P < 1; 0.05 takes 59 trials)",
        },
    ),
    (
        "--seed",
        {"type": int, "default": None, "metavar": "N", "help": "seed of the schedule (default: drawn and printed)"},
    ),
    (
        "--period-us",
        {
            "type": int,
            "default": 100,
            "metavar": "N",
            "help": "pause between two ticks in microseconds; 0: none, which keeps a processor busy (default 100)",
        },
    ),
    ("--ring", {"type": int, "default": 65536, "metavar": "N", "help": "records per surface (default 65536)"}),
    (
        "--cgroups",
        {
            "choices": [version.value for version in CgroupVersion],
            "default": CgroupVersion.V2.value,
            "help": "version that runtimes see and whose freezer is written; v1 if the host has it (default v2)",
        },
    ),
    ("--out", {"type": Path, "default": Path("out"), "metavar": "DIR", "help": "folder for runs (default ./out)"}),
    (
        "--cache",
        {
            "type": Path,
            "default": default_cache(),
            "metavar": "DIR",
            "help": "folder for stacks and binaries (default %(default)s)",
        },
    ),
    (
        "--proof",
        {
            "choices": ["full", "brief"],
            "default": None,
            "help": "the instrument's own: full with all mutants, brief with a canary and the negative controls alone "
            "(default: full, but brief where runtimes, policies or cells are chosen)",
        },
    ),
    (
        "--mirror",
        {
            "default": None,
            "metavar": "URL",
            "help": "Debian mirror for stacks (default: $STILLFRAME_MIRROR, else the host's)",
        },
    ),
    (
        "--keep-names",
        {
            "action": "store_true",
            "help": "keep this machine's name, those of its users, and their home paths in records (default: words "
            "stand for them; secrets, environments and memory are taken out in any case)",
        },
    ),
)


STACKS = tuple(one for one in SETTINGS if one[0] in ("--cache", "--mirror"))
"""Where stacks are, and where they come from."""
RUNNING = (*STACKS, *(one for one in SETTINGS if one[0] in ("--seed", "--out", "--keep-names")))
"""Of a run whose cells are tried once, under settings of their own."""


class Options(Settings):
    """What the user asked for, read once."""

    stack: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    cell: tuple[str, ...] = ()
    rounds: int | None = Field(default=None, ge=1, le=MOST_ROUNDS)
    rate: float | None = Field(default=None, gt=0, lt=1, allow_inf_nan=False)
    seed: int
    out: Path
    cache: Path
    mirror: str | None = None
    keep_names: bool = False
    proof: Literal["full", "brief"] | None = None
    interop: bool = False
    keep: Path | None = None
    kept: Path | None = None
    shard: Shard | None = None

    @classmethod
    def read(cls, value: Callable[[str], Any]) -> Options:
        """Read every option through `value`, which knows them by name; a wrong one raises `UsageError`.

        It gives `()` for one that its command does not offer.
        """
        given = {}
        for flag, declaration in (*CHOICES, *CORPUS, *SETTINGS):
            name = flag.removeprefix("--").replace("-", "_")
            said = value(name)
            given[name] = declaration.get("default", False) if said == () else said
        if given["shard"]:
            given["shard"] = Shard.read(given["shard"])
            if given["seed"] is None:
                remedy = "Give all shards the same: the plan of the run has to be one on every machine."
                raise UsageError(f"--shard {given['shard']} needs a --seed", remedy=remedy)
        if given["seed"] is None:
            given["seed"] = random.SystemRandom().getrandbits(32)
        given |= {name: Path(given[name]).absolute() for name in ("out", "cache")}
        given |= {name: Path(given[name]).absolute() if given[name] else None for name in ("keep", "kept")}
        try:
            options = cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            flag = f"--{str(first['loc'][0]).replace('_', '-')}"
            raise UsageError(f"{flag} {first['input']!r}: {first['msg']}") from error
        if options.rate is not None and options.rounds is not None:
            remedy = "Leave one of them out: --rate finds the number of trials by itself."
            raise UsageError(f"--rounds {options.rounds} and --rate {options.rate:g} exclude each other", remedy=remedy)
        if options.rate is not None and options.rate <= rate_bound(0, MOST_ROUNDS):
            what = f"--rate {options.rate:g} takes more than {MOST_ROUNDS} clean trials per cell"
            raise UsageError(what, remedy="Ask for a higher rate.")
        return options

    @property
    def trials(self) -> int:
        """How many trials a cell has at the most."""
        return clean_trials(self.rate) if self.rate is not None else self.rounds or DEFAULT_ROUNDS

    @property
    def fewer(self) -> dict[str, int]:
        """Cells, by id, that have fewer trials; none where cells were chosen one by one."""
        return {} if self.chosen else matrix.fewer(self.cells, self.trials)

    @property
    def rule(self) -> str:
        """When a cell has been tried often enough, in words and numbers, with what that proves."""
        most, fewer = self.trials, self.fewer
        if self.rate is None:
            bound = percent(rate_bound(0, most))
            rule = f"Each cell has {most} trials; all clean, it violates in less than {bound} with 95 % confidence"
        else:
            rule = (
                f"Each cell is tried until its first violation, which convicts it, or {most} times; all clean, it "
                f"violates in less than {100 * self.rate:g} % with 95 % confidence. A cell that never violates is "
                "never convicted (type I error 0), one that does at that rate or above passes with at most 5 % "
                "(type II error)"
            )
        if fewer:
            each = " to ".join(dict.fromkeys(str(of(fewer.values())) for of in (min, max)))
            count = f"{len(fewer)} of {len(self.cells)} cells"
            rule += f". Without a moment to hit ({count}) they have {each} trials, whatever they find"
        return f"{rule}."

    @property
    def settings(self) -> Settings:
        """Those that all cells of the run share."""
        return Settings.model_validate(self.model_dump(include=set(Settings.model_fields)))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that are asked for; `UsageError` for a name that does not exist."""
        if self.keep or self.kept:
            participants = matrix.keepers(self.stack, self.runtime)
            return tuple(
                corpus.cells(corpus.read(self.kept), participants) if self.kept else matrix.to_keep(participants)
            )
        return matrix.plan(self.stack, self.runtime, self.policy, self.cell, interop=self.interop)

    @property
    def corpus(self) -> Path | None:
        """Folder of checkpoints that were kept, or are to be."""
        return self.keep or self.kept

    @property
    def today(self) -> dt.date:
        """The day by which expectations are looked up."""
        return dt.datetime.now(dt.UTC).date()

    @property
    def controls(self) -> tuple[Control, ...]:
        """The instrument's own proof; all of it where the user did not choose among participants or cells."""
        whole = not (self.cell or self.runtime or self.policy or self.interop or self.corpus)
        cells = tuple(matrix.to_keep(dict.fromkeys(cell.restore for cell in self.cells))) if self.kept else self.cells
        return matrix.controls(cells, self.today, full=whole if self.proof is None else self.proof == "full")

    @property
    def share(self) -> tuple[tuple[Cell, ...], tuple[Control, ...]]:
        """What of cells and controls is executed here: all of it, unless there are shards."""
        return self.shard.share(self.cells, self.controls) if self.shard else (self.cells, self.controls)

    @property
    def chosen(self) -> bool:
        """Whether cells were chosen one by one."""
        return bool(self.cell)

    def arguments(self) -> list[str]:
        """The same options as a command line."""
        words = []
        for flag, _ in (*CHOICES, *CORPUS, *SETTINGS):
            value = getattr(self, flag.removeprefix("--").replace("-", "_"))
            for one in value if isinstance(value, tuple) else () if value is None else (value,):
                words += [flag] if one is True else [] if one is False else [flag, str(one)]
        return words


def add_to(parser: argparse.ArgumentParser, *groups: tuple[tuple[str, dict[str, Any]], ...]) -> None:
    """Declare the options of `groups` on an argparse parser."""
    for group in groups:
        for flag, declaration in group:
            parser.add_argument(flag, **declaration)
