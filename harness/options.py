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

from harness import matrix
from harness.errors import UsageError
from harness.model import Cell, CgroupVersion, Control, Settings

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
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
)
SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--rounds",
        {
            "type": int,
            "default": 5,
            "metavar": "N",
            "help": "trials per cell; fewer where no moment has to be hit (default 5)",
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
)


class Options(Settings):
    """What the user asked for, read once."""

    stack: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    cell: tuple[str, ...] = ()
    rounds: int = Field(default=5, ge=1, le=100_000)
    seed: int
    out: Path
    cache: Path
    mirror: str | None = None
    proof: Literal["full", "brief"] | None = None

    @classmethod
    def read(cls, value: Callable[[str], Any]) -> Options:
        """Read every option through `value`, which knows them by name; a wrong one raises `UsageError`."""
        names = [flag.removeprefix("--").replace("-", "_") for flag, _ in (*CHOICES, *SETTINGS)]
        given = {name: value(name) for name in names}
        if given["seed"] is None:
            given["seed"] = random.SystemRandom().getrandbits(32)
        given |= {name: Path(given[name]).absolute() for name in ("out", "cache")}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            flag = f"--{str(first['loc'][0]).replace('_', '-')}"
            raise UsageError(f"{flag} {first['input']!r}: {first['msg']}") from error

    @property
    def settings(self) -> Settings:
        """Those that all cells of the run share."""
        return Settings.model_validate(self.model_dump(include=set(Settings.model_fields)))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that are asked for; `UsageError` for a name that does not exist."""
        return matrix.plan(self.stack, self.runtime, self.policy, self.cell)

    @property
    def today(self) -> dt.date:
        """The day by which expectations are looked up."""
        return dt.datetime.now(dt.UTC).date()

    @property
    def controls(self) -> tuple[Control, ...]:
        """The instrument's own proof; all of it where the user did not choose among participants or cells."""
        whole = not (self.cell or self.runtime or self.policy)
        return matrix.controls(self.cells, self.today, full=whole if self.proof is None else self.proof == "full")

    @property
    def chosen(self) -> bool:
        """Whether cells were chosen one by one."""
        return bool(self.cell)

    def arguments(self) -> list[str]:
        """The same options as a command line."""
        words = []
        for flag, _ in (*CHOICES, *SETTINGS):
            value = getattr(self, flag.removeprefix("--").replace("-", "_"))
            for one in value if isinstance(value, tuple) else () if value is None else (value,):
                words += [flag, str(one)]
        return words


def add_to(parser: argparse.ArgumentParser, *groups: tuple[tuple[str, dict[str, Any]], ...]) -> None:
    """Declare the options of `groups` on an argparse parser."""
    for group in groups:
        for flag, declaration in group:
            parser.add_argument(flag, **declaration)
