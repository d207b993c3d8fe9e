"""Commands for runs that are over: show, report, compare, pool, fingerprint, history."""

from __future__ import annotations

from harness.commands.declarations.command import USAGE, Command
from harness.run.flags import BUILDS, OUT, STACKS, Flag, path

KEEP_LOGS = 30
"""Newest runs whose logs are kept, unless told otherwise."""

RUNS: Flag = (
    "runs",
    {"type": path, "nargs": "+", "metavar": "RUN", "help": "folder of a run or of its shards, in any order"},
)
JSON: Flag = ("--json", {"action": "store_true", "help": "print JSON"})
HISTORY_FOLDER: Flag = ("history", {"type": path, "metavar": "DIR", "help": "folder of the history"})
NO_RUN = f"{USAGE}, or a folder that holds no run"
UNREADABLE = "a file cannot be read or written"

SHOW = Command(
    name="show",
    what="show a cell of a run: its trials, and the commands of one",
    act="harness.commands.show:show",
    description="""\
Shows how the trials of a cell ended, and every command of one trial, ready to
paste into `stillframe shell`. All other lines are shell comments.
""",
    arguments=(
        ("cell_id", {"metavar": "CELL", "help": "id of the cell, as in the report and in `stillframe plan`"}),
        ("--trial", {"type": int, "default": None, "metavar": "N", "help": "number of the trial (default: the worst)"}),
        ("--run", {"type": path, "default": None, "metavar": "DIR", "help": "folder of the run (default: OUT/latest)"}),
        (OUT[0], {**OUT[1], "help": "folder of runs, whose newest is shown (default ./out)"}),
    ),
    exit_codes={0: "the cell is shown", 2: f"{USAGE}, or there is no such run, cell or trial", 3: UNREADABLE},
    examples=(
        "stillframe show 'ledger.none.runc@debian-sid'",
        "stillframe show 'ledger.none.runc@debian-sid' --run out/latest --trial 0",
    ),
)
REPRO = Command(
    name="repro",
    what="hand over a trial as a shell script that needs no Stillframe",
    act="harness.commands.show:repro",
    description="""\
Writes one trial of a run as a plain shell script, with the source of its
workload in it, for a machine that has neither Python nor Stillframe. The script
makes namespaces of its own, repeats the trial's commands, and judges by what
the workload itself says. It ends with 0 if it has reproduced the failure, with
1 if not, and with 2 if it cannot run there. Beside it are a report for the
project that can mend it, and an archive of everything with the record.
""",
    arguments=(
        *SHOW.arguments,
        (
            "--control",
            {"default": "", "metavar": "NAME", "help": "this control or mutant on the cell, instead of a trial of it"},
        ),
        ("-o --out-folder", {"type": path, "required": True, "metavar": "DIR", "help": "new folder for the script"}),
        (
            "--play",
            {
                "action": "store_true",
                "help": "play the script here, and add the checkpoint of a round that has failed to the archive (root)",
            },
        ),
        (
            "--minimise",
            {
                "action": "store_true",
                "help": "like --play, and leave out what the failure does not need: play shorter and shorter scripts",
            },
        ),
        (
            "--rounds",
            {
                "type": int,
                "default": 3,
                "metavar": "N",
                "help": "rounds of each script that is played (default 3)",
            },
        ),
        (
            "--rate",
            {
                "type": float,
                "default": 0.5,
                "metavar": "R",
                "help": "part of the rounds in which the failure has to show (default 0.5)",
            },
        ),
        (
            "--stack",
            {"action": "append", "default": [], "metavar": "FILE", "help": "file of a stack of your own; repeatable"},
        ),
        *BUILDS,
        *STACKS,
    ),
    exit_codes={
        0: "the script is written",
        2: f"{USAGE}, there is no such run, cell or trial, or a script cannot tell its outcome",
        3: f"{UNREADABLE}; or the failure does not show here, so that --minimise has nothing to go by",
    },
    examples=(
        "stillframe repro 'ledger.none.runc@debian-sid' -o repro",
        "sudo stillframe repro 'ledger.none.runc@debian-sid' --minimise -o repro",
    ),
)
REPORT = Command(
    name="report",
    what="write the report of a run, with older runs as its past",
    act="harness.commands.runs:report",
    description="""\
Writes the report of a run from its records: a static site, and files for other
tools. It merges the shards of a run, in any order. Of several runs it reports
the newest; the others are its past.
""",
    arguments=(
        (RUNS[0], {**RUNS[1], "help": "folder of a run, of its shards, or of a history, in any order"}),
        (
            "--out",
            {
                "type": path,
                "default": None,
                "metavar": "DIR",
                "help": "folder for the site (default: `report` in the folder of the newest run)",
            },
        ),
        (
            "--exit-code",
            {"action": "store_true", "help": "end with the exit code of the run (default: 0 for any report)"},
        ),
    ),
    exit_codes={
        0: "the report is written; with --exit-code: every cell is as expected",
        1: "with --exit-code: an unexpected outcome",
        2: NO_RUN,
        3: f"with --exit-code: the run is incomplete; or {UNREADABLE}",
        4: "with --exit-code: the proof of the instrument failed",
    },
    examples=("stillframe report out/latest", "stillframe report out/* --out /srv/www/stillframe"),
)
COMPARE = Command(
    name="compare",
    what="tell what became worse, better or different between two runs",
    act="harness.commands.runs:compare",
    description="""\
Compares two runs cell by cell: new, worse, disappeared, changed and fixed
cells, each with the versions that changed between the runs. What may be chance
is listed apart, with the entry that declares it as a known issue.
""",
    arguments=(
        ("before", {"type": path, "metavar": "A", "help": "folder of the earlier run, or of its shards"}),
        ("after", {"type": path, "metavar": "B", "help": "folder of the later run, or of its shards"}),
        JSON,
    ),
    exit_codes={
        0: "nothing became worse",
        1: "a regression: a cell newly violates, is worse, or has disappeared",
        2: NO_RUN,
        3: "nothing became worse, but a run did not finish; or not comparable: other settings, no common cell, or a "
        "run whose own proof failed",
    },
    examples=("stillframe compare out/A out/B", "stillframe compare out/A out/B --json"),
)
POOL = Command(
    name="pool",
    what="add up trials over runs, as long as no version has changed",
    act="harness.commands.runs:pool",
    description="""\
Adds up the trials of each cell over several runs, as long as no component and
no setting has changed, and tells the bounds that follow.
""",
    arguments=(RUNS, JSON),
    exit_codes={0: "the sums are printed", 2: NO_RUN, 3: UNREADABLE},
    examples=("stillframe pool out/*", "stillframe pool out/A out/B --json"),
)
FINGERPRINT = Command(
    name="fingerprint",
    what="group versions that restore each other's checkpoints",
    act="harness.commands.runs:fingerprint",
    description="""\
Groups versions of runtimes and CRIU by who restored whose checkpoints in
cross-restore runs (`stillframe run --interop`).
""",
    arguments=((RUNS[0], {**RUNS[1], "help": "folder of a cross-restore run"}), JSON),
    exit_codes={0: "the groups are printed", 2: NO_RUN, 3: UNREADABLE},
    examples=("stillframe fingerprint out/latest", "stillframe fingerprint out/A out/B --json"),
)
HISTORY = Command(
    name="history",
    what="keep runs in a folder, and prune old ones",
    description="""\
Keeps runs in a folder, which may be a branch: no server is needed. Each run
goes by a digest of its content, so the same run comes in once. `stillframe
report DIR` makes a site of the folder: the newest run, with the others as its
past.

tasks:
  history add DIR RUN...   add runs; the shards of a run are one run
  history list DIR         list the runs that are there
  history prune DIR        remove the logs of old runs
""",
    exit_codes={0: "done", 2: f"{NO_RUN}, or no history", 3: UNREADABLE},
    examples=("stillframe history add /srv/runs out/latest", "stillframe history prune /srv/runs --keep-logs 30"),
    tasks=(
        Command(
            name="history add",
            what="add runs to a history",
            act="harness.commands.runs:add",
            description="""\
Adds runs to a history. A run that is there already is not added again. A run
that was added before it finished gives way to its finished copy.
""",
            arguments=(
                HISTORY_FOLDER,
                (RUNS[0], {**RUNS[1], "help": "folder of a run, or of its shards"}),
                ("--unfinished", {"action": "store_true", "help": "add runs that did not finish, too"}),
            ),
            exit_codes={0: "the runs are in the history", 2: f"{NO_RUN}, or an unfinished run", 3: UNREADABLE},
            examples=("stillframe history add /srv/runs out/latest", "stillframe history add /srv/runs out/*"),
        ),
        Command(
            name="history list",
            what="list the runs of a history",
            act="harness.commands.runs:list_kept",
            arguments=(HISTORY_FOLDER,),
            exit_codes={0: "the runs are listed", 2: f"{USAGE}, or no history", 3: UNREADABLE},
            examples=("stillframe history list /srv/runs", "stillframe history list /srv/runs | tail -5"),
        ),
        Command(
            name="history prune",
            what="remove the logs of old runs",
            act="harness.commands.runs:prune",
            description="""\
Removes commands, timelines and readings from old runs. Outcomes, summaries and
the runs that known issues name as `evidence` stay, and a tombstone says what
is gone.
""",
            arguments=(
                HISTORY_FOLDER,
                (
                    "--keep-logs",
                    {
                        "type": int,
                        "default": KEEP_LOGS,
                        "metavar": "N",
                        "help": f"newest runs that keep their logs (default {KEEP_LOGS})",
                    },
                ),
            ),
            exit_codes={0: "the logs are removed", 2: f"{USAGE}, or no history", 3: UNREADABLE},
            examples=("stillframe history prune /srv/runs", "stillframe history prune /srv/runs --keep-logs 7"),
        ),
    ),
)
COMMANDS = (SHOW, REPRO, REPORT, COMPARE, POOL, FINGERPRINT, HISTORY)
