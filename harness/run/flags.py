"""Options of a run, declared once as data: for pytest, for the console command and for the documentation.

Nothing here imports a library, so that `--help` is there at once. `harness.run.options` reads the values.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
from pathlib import Path
from typing import Any

Flag = tuple[str, dict[str, Any]]
"""Name of an option or argument, or several with spaces between, and what `add_argument` takes."""

DEFAULT_ROUNDS = 6
CACHE_VARIABLE = "STILLFRAME_CACHE"
SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def default_cache() -> Path:
    """`$STILLFRAME_CACHE`, or the folder for us in the user's cache, or in the system's for a user without a home."""
    home = os.environ.get("HOME")
    with contextlib.suppress(KeyError):
        home = home or pwd.getpwuid(os.getuid()).pw_dir
    base = os.environ.get("XDG_CACHE_HOME") or (Path(home) / ".cache" if home else "/var/cache")
    return Path(os.environ.get(CACHE_VARIABLE) or Path(base) / "stillframe")


def path(text: str) -> Path:
    """Read the name of a file or folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)


CHOICES: tuple[Flag, ...] = (
    (
        "--stack",
        {
            "action": "append",
            "default": [],
            "metavar": "NAME",
            "help": "only this stack; the path of a file that ends in .toml brings a stack of your own; repeatable",
        },
    ),
    ("--runtime", {"action": "append", "default": [], "metavar": "NAME", "help": "only this runtime; repeatable"}),
    ("--policy", {"action": "append", "default": [], "metavar": "NAME", "help": "only this freeze policy; repeatable"}),
    (
        "--workload",
        {
            "action": "append",
            "default": [],
            "metavar": "NAME",
            "help": "only this workload; the path of a folder with a workload.toml brings one of your own; `all`: "
            "every one under every policy; repeatable",
        },
    ),
    (
        "--suite",
        {
            "choices": ["quick", "default", "full"],
            "default": "default",
            "help": "how much of the matrix: `quick` has the ledger alone, with and without a freeze; `full` also has "
            "applications; `plan` tells how long each takes (default %(default)s)",
        },
    ),
    (
        "--cell",
        {
            "action": "append",
            "default": [],
            "metavar": "ID",
            "help": "only this cell; shell patterns are allowed; repeatable",
        },
    ),
    (
        "--interop",
        {
            "action": "store_true",
            "help": "cross-restore instead: each participant restores the checkpoints of every other one that writes "
            "the same kind, and each engine those of the other engines of its stack, as they are and adapted to it; "
            "`run` then makes checkpoint images, too",
        },
    ),
    (
        "--shard",
        {
            "default": None,
            "metavar": "K/N",
            "help": "take share K of N, to spread a run over N machines; `report` merges the shares",
        },
    ),
)
"""What takes part."""
BUILDS: tuple[Flag, ...] = (
    (
        "--with",
        {
            "action": "append",
            "default": [],
            "dest": "builds",
            "metavar": "NAME=PATH",
            "help": "test a build of your own: this program, or this install root (DESTDIR), replaces the program NAME "
            "in a variant of each stack; repeatable; NAME@VARIANT=PATH puts it into a variant of its own",
        },
    ),
    (
        "--as",
        {
            "default": None,
            "dest": "variant",
            "metavar": "NAME",
            "help": "name of the variant, as in `runc@debian-sid+NAME` (default mine)",
        },
    ),
)
"""Builds of the user's own."""
ALONE: Flag = (
    "--alone",
    {
        "action": "store_true",
        "help": "with --with: try the variant alone, and leave out the comparison with the unmodified stack",
    },
)
CORPUS: tuple[Flag, ...] = (
    (
        "--keep",
        {
            "type": path,
            "default": None,
            "metavar": "DIR",
            "help": "keep a checkpoint of each participant in this folder (see `stillframe corpus`)",
        },
    ),
    (
        "--kept",
        {
            "type": path,
            "default": None,
            "metavar": "DIR",
            "help": "restore the checkpoints that are kept in this folder (see `stillframe corpus`)",
        },
    ),
)
"""Of `stillframe corpus`, which hands them to pytest."""
TRIALS: tuple[Flag, ...] = (
    (
        "--rounds",
        {
            "type": int,
            "default": None,
            "metavar": "N",
            "help": f"trials per cell (default {DEFAULT_ROUNDS}); cells that are expected to fail each time, and those "
            "whose result does not depend on timing, get fewer",
        },
    ),
    (
        "--rate",
        {
            "type": float,
            "default": None,
            "metavar": "P",
            "help": "instead of --rounds: try each cell until its first violation, or until enough clean trials show "
            "that its failure rate is below P (0 < P < 1; 0.05 takes 59 trials)",
        },
    ),
)
"""How often a cell is tried."""
SEED: Flag = (
    "--seed",
    {
        "type": int,
        "default": None,
        "metavar": "N",
        "help": "seed of the schedule (default: drawn); all shares of a run need the same one",
    },
)
PERIOD: Flag = (
    "--period-us",
    {
        "type": int,
        "default": 100,
        "metavar": "N",
        "help": "microseconds between two ticks of the workload (default 100); 0 keeps a processor busy",
    },
)
RING: Flag = (
    "--ring",
    {"type": int, "default": 65536, "metavar": "N", "help": "records that each surface holds (default 65536)"},
)
CGROUPS: Flag = (
    "--cgroups",
    {
        "choices": ["v1", "v2"],
        "default": "v2",
        "help": "cgroup version that the runtimes see (default v2); v1 needs a host that has it",
    },
)
OUT: Flag = (
    "--out",
    {"type": path, "default": Path("out"), "metavar": "DIR", "help": "folder for runs (default ./out)"},
)
CACHE: Flag = (
    "--cache",
    {
        "type": path,
        "default": default_cache(),
        "metavar": "DIR",
        "help": "folder for stacks and compiled workloads (default %(default)s)",
    },
)
PROOF: Flag = (
    "--proof",
    {
        "choices": ["full", "brief"],
        "default": None,
        "help": "proof of the instrument: full plays all mutants, brief only a canary and the controls (default: full, "
        "or brief if you choose runtimes, policies or cells)",
    },
)
MIRROR: Flag = (
    "--mirror",
    {
        "default": None,
        "metavar": "URL",
        "help": "Debian mirror for stacks (default: $STILLFRAME_MIRROR, else the host's)",
    },
)
KEEP_NAMES: Flag = (
    "--keep-names",
    {
        "action": "store_true",
        "help": "leave the names of this machine and its users, and their home paths, in the records; secrets, "
        "environments and memory are taken out in any case",
    },
)
SETTINGS: tuple[Flag, ...] = (
    *TRIALS,
    SEED,
    PERIOD,
    RING,
    CGROUPS,
    OUT,
    CACHE,
    PROOF,
    MIRROR,
    KEEP_NAMES,
)
"""How a run is carried out."""
STACKS = (CACHE, MIRROR)
"""Where stacks are, and where they come from."""
EVERY = (*CHOICES, *BUILDS, ALONE, *CORPUS, *SETTINGS)


def name_of(flag: str) -> str:
    """Name of the value that an option sets: `--keep-names` sets `keep_names`."""
    own: dict[str, str] = {name: declaration["dest"] for name, declaration in BUILDS}
    return own.get(flag, flag.removeprefix("--").replace("-", "_"))


def add_to(parser: argparse.ArgumentParser, *groups: tuple[Flag, ...]) -> None:
    """Declare the options of `groups` on an argparse parser."""
    for group in groups:
        for flag, declaration in group:
            parser.add_argument(*flag.split(), **declaration)
