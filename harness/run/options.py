"""What the user asked for: the values of the options that `harness.run.flags` declares, and what follows from them."""

from __future__ import annotations

import argparse
import datetime as dt
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from harness.model.cells import Cell, Settings
from harness.model.controls import Control
from harness.model.errors import UsageError
from harness.model.invalid import requirement
from harness.records.shard import Shard
from harness.run import matrix, proof, variants
from harness.run.flags import DEFAULT_ROUNDS, EVERY, name_of
from harness.stacks import builds, definition
from harness.workload import definitions
from harness.workload.definitions import Suite
from reports.analysis.statistics import clean_trials, rate_bound
from reports.words.numbers import percent

MOST_ROUNDS = 100_000


class Options(Settings):
    """What the user asked for, read once."""

    stack: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    workload: tuple[str, ...] = ()
    suite: Suite = Suite.DEFAULT
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
    builds: tuple[str, ...] = Field(default=(), description="builds of the user's own, as `NAME@VARIANT=PATH`")
    alone: bool = False
    keep: Path | None = None
    kept: Path | None = None
    shard: Shard | None = None

    @field_validator("stack")
    @classmethod
    def _by_name(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(definition.name_of, given))

    @field_validator("workload")
    @classmethod
    def _workloads_by_name(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each if each == matrix.ALL else definitions.name_of(each) for each in given)

    @classmethod
    def read(cls, value: Callable[[str], Any]) -> Options:
        """Read every option through `value`, which knows them by name; a wrong one raises `UsageError`.

        It gives `()` for one that its command does not offer.
        """
        given = {}
        for flag, declaration in EVERY:
            name = name_of(flag)
            said = value(name)
            given[name] = declaration.get("default", False) if said == () else said
        if given["shard"] is not None:
            given["shard"] = Shard.read(given["shard"])
            if value("seed") is None:
                remedy = "Give all shards the same: the plan of the run has to be one on every machine."
                raise UsageError(f"--shard {given['shard']} needs a --seed", remedy=remedy)
        if given["seed"] is None:
            given["seed"] = random.SystemRandom().getrandbits(32)
        given["builds"] = builds.declare(given["builds"], given.pop("variant"))
        variants.check()
        if given["alone"] and not given["builds"]:
            raise UsageError("--alone needs a build", remedy="Name one with --with NAME=PATH.")
        given |= {name: Path(given[name]).absolute() for name in ("out", "cache")}
        given |= {name: Path(given[name]).absolute() if given[name] else None for name in ("keep", "kept")}
        try:
            options = cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            flag = f"--{str(first['loc'][0]).replace('_', '-')}"
            raise UsageError(f"{flag} {first['input']}: {requirement(first)}") from error
        if options.rate is not None and options.rounds is not None:
            remedy = "Leave one of them out: --rate finds the number of trials by itself."
            raise UsageError(f"--rounds {options.rounds} and --rate {options.rate:g} exclude each other", remedy=remedy)
        if options.rate is not None and options.rate <= rate_bound(0, MOST_ROUNDS):
            what = f"--rate {options.rate:g} takes more than {MOST_ROUNDS} clean trials per cell"
            raise UsageError(what, remedy="Ask for a higher rate.")
        return options

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Options:
        """Read what was given to a command; options that it does not have keep their default."""
        return cls.read(lambda name: getattr(arguments, name, ()))

    @property
    def trials(self) -> int:
        """How many trials a cell has at the most."""
        return clean_trials(self.rate) if self.rate is not None else self.rounds or DEFAULT_ROUNDS

    @property
    def fewer(self) -> dict[str, int]:
        """Cells, by id, that have fewer trials; none where cells were chosen one by one."""
        return {} if self.chosen else matrix.fewer(self.cells, self.trials, self.today)

    @property
    def rule(self) -> str:
        """How often each cell is tried, in words and numbers, with what that proves."""
        most, cells = self.trials, self.cells
        bound = percent(rate_bound(0, most)) if self.rate is None else f"{100 * self.rate:g} %"
        clean = f"the true failure rate is below {bound} (95 % confidence)."
        if self.rate is not None:
            rule = (
                f"Up to {most} trials per cell; the first violation ends them. If all are clean, {clean} A cell that "
                "never fails is never convicted. A cell that fails at that rate or above passes in at most 5 % of the "
                "runs."
            )
        elif most == 1:
            rule = f"1 trial per cell. If it is clean, {clean}"
        else:
            rule = f"{most} trials per cell. If all {most} are clean, {clean}"
        fewer = {} if self.chosen else matrix.fewer(cells, most, self.today)
        if fewer and max(fewer.values()) < most:
            each = " to ".join(dict.fromkeys(str(of(fewer.values())) for of in (min, max)))
            rule += " Cells that are expected to fail each time, and those whose result does not depend on timing "
            rule += f"({len(fewer)} of {len(cells)}), get {each} trials, which prove less."
        return rule

    @property
    def settings(self) -> Settings:
        """Those that all cells of the run share."""
        return Settings.model_validate(self.model_dump(include=set(Settings.model_fields)))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that are asked for; `UsageError` for a name that does not exist."""
        if self.corpus:
            keepers = variants.of_participants(matrix.keepers(self.stack, self.runtime), alone=self.alone)
        if self.kept:
            from harness.trial import corpus  # noqa: PLC0415  # reads CRIU's images, and is for `corpus try` alone

            return tuple(corpus.cells(corpus.read(self.kept), keepers))
        if self.keep:
            return tuple(matrix.to_keep(keepers))
        planned = matrix.plan(
            self.stack,
            self.runtime,
            self.policy,
            variants.plain(self.cell),
            workloads=self.workload,
            suite=self.suite,
            interop=self.interop,
        )
        if not self.builds:
            return planned
        return variants.cells(planned, self.cell, alone=self.alone, across=self.interop)

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
        """The instrument's own proof; all of it where the user did not choose participants, cells or the quick suite.

        It is played on the stacks themselves: in a variant nobody could tell a blind instrument from a broken build.
        """
        chosen = self.cell or self.runtime or self.policy or self.workload or self.interop or self.corpus
        whole = not chosen and self.suite is not Suite.QUICK
        cells = tuple(matrix.to_keep(dict.fromkeys(cell.restore for cell in self.cells))) if self.kept else self.cells
        cells = tuple(dict.fromkeys(cell.base for cell in cells))
        return proof.controls(cells, self.today, full=whole if self.proof is None else self.proof == "full")

    @property
    def share(self) -> tuple[tuple[Cell, ...], tuple[Control, ...]]:
        """What of cells and controls is executed here: all of it, unless there are shards."""
        return self.shard.share(self.cells, self.controls) if self.shard else (self.cells, self.controls)

    @property
    def chosen(self) -> bool:
        """Whether cells were chosen one by one, or by their workload."""
        return bool(self.cell or set(self.workload) - {matrix.ALL})

    def arguments(self) -> list[str]:
        """The same options as a command line."""
        words = []
        for flag, _ in EVERY:
            value = getattr(self, name_of(flag), None)  # the name of a variant is in each build
            if flag == "--stack":
                value = tuple(map(definition.given_as, self.stack))
            if flag == "--workload":
                value = tuple(map(definitions.given_as, self.workload))
            for one in value if isinstance(value, tuple) else () if value is None else (value,):
                words += [flag] if one is True else [] if one is False else [flag, str(one)]
        return words
