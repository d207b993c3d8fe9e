"""Commands that look at this machine, plan and run cells, and open a node."""

from __future__ import annotations

from harness.commands.declarations.command import USAGE, Command, at_least_one
from harness.model.errors import EXIT_CODES
from harness.run.flags import (
    ALONE,
    BUILDS,
    CACHE,
    CGROUPS,
    CHOICES,
    KEEP_NAMES,
    MIRROR,
    OUT,
    PERIOD,
    RING,
    SEED,
    SETTINGS,
    STACKS,
    TRIALS,
    Flag,
    path,
)

IMAGES_STACK = "debian-sid"
"""The stack that has all tools for checkpoint images."""

WORKERS: Flag = (
    "-n --workers",
    {"type": at_least_one, "default": 1, "metavar": "N", "help": "cells to run at a time (default 1)"},
)
OF_RUN = {code: EXIT_CODES[code] for code in (0, 1, 2, 3, 4)}
VERBOSE: Flag = (
    "-v --verbose",
    {
        "action": "store_true",
        "help": "print all at the end: also what is known and as expected, versions, and workarounds",
    },
)

TOOLS: tuple[Flag, ...] = (
    (
        "--needs",
        {
            "action": "append",
            "default": [],
            "metavar": "SOURCE",
            "help": "for --build: install the build dependencies of this Debian source package; repeatable "
            "(default: the one that the folder is named after)",
        },
    ),
    (
        "--install",
        {
            "action": "append",
            "default": [],
            "metavar": "PACKAGE",
            "help": "for --build: install this Debian package, too; repeatable",
        },
    ),
)
"""What a build needs in the node."""

DOCTOR = Command(
    name="doctor",
    what="check what this machine can do, and how to mend what it cannot",
    act="harness.commands.doctor:doctor",
    description="""\
Checks everything that a run needs: rights, kernel, control groups, compiler,
tools, disk space, and the files that define stacks, workloads and known
issues. Each answer comes with its evidence and, if it is no, with a remedy.
Without root it checks what can be checked without. With --stack it also asks
in a node which runtimes of this stack work here, and with --with whether your
build does.
""",
    arguments=(CHOICES[0], *BUILDS, *STACKS),
    exit_codes={0: "this machine can run the matrix", 2: USAGE, 3: "something stands in the way"},
    examples=("stillframe doctor", "sudo stillframe doctor --stack host"),
)
PLAN = Command(
    name="plan",
    what="list the cells that a run would have; needs no root",
    act="harness.commands.watching.plan:plan",
    description="""\
Lists the cells that `stillframe run` would run with the same choices, by their
ids. On standard error it says how often each cell is tried, and which stacks
are not part of the list. Starts nothing, and needs no root.
""",
    arguments=(
        *CHOICES,
        *BUILDS,
        ALONE,
        *TRIALS,
        ("--count", {"action": "store_true", "help": "print only how many there are"}),
    ),
    exit_codes={0: "the plan is printed", 2: f"{USAGE}, an unknown name, or a wrong definition file"},
    examples=("stillframe plan --count", "stillframe plan --stack debian-sid --runtime runc"),
)
WORKLOAD = Command(
    name="workload",
    what="try a workload of your own, before it is checkpointed (root)",
    tasks=(
        Command(
            name="workload check",
            what="try whether an application keeps the contract, without a checkpoint (root)",
            act="harness.commands.workload:check",
            description="""\
Starts the application of a workload in a container, and tries what a run relies
on: drive confirms tick after tick, says after a pause what its files have, ends
when its input ends, and then a fresh verify finds the last tick. Nothing is
checkpointed. What is wrong is said in one sentence, with what drive says on
standard error.

DIR has a workload.toml and the programs drive and verify; a how-to page of the
documentation has an example.
""",
            arguments=(
                ("folder", {"type": path, "metavar": "DIR", "help": "folder of the workload"}),
                (
                    "--stack",
                    {
                        "dest": "stack_name",
                        "default": "debian-trixie",
                        "metavar": "NAME",
                        "help": "stack whose runc starts the container (default %(default)s)",
                    },
                ),
                PERIOD,
                *STACKS,
            ),
            exit_codes={
                0: "the application keeps the contract",
                1: "it does not",
                2: f"{USAGE}, or a wrong definition file",
                3: "it could not be tried: no root, no image, or no stack",
            },
            examples=(
                "sudo stillframe workload check ./counter",
                "sudo stillframe workload check ./counter --stack debian-sid",
            ),
        ),
    ),
)
RUN = Command(
    name="run",
    what="run cells on real runtimes, and report what they find (root)",
    act="harness.commands.run:run",
    description="""\
Runs cells on real runtimes: builds the stacks that are not in the cache,
checkpoints and restores containers in disposable nodes, and writes records and
a report into a new folder below OUT. By default it runs the whole matrix; the
first options choose a part of it. Ctrl-C ends it after the trials in progress,
with a report; Ctrl-C twice ends it at once.
""",
    arguments=(
        *CHOICES,
        *BUILDS,
        ALONE,
        *SETTINGS,
        WORKERS,
        VERBOSE,
        (
            "pytest",
            {
                "nargs": "*",
                "default": [],
                "metavar": "-- PYTEST-OPTION",
                "help": "options for pytest, which runs the cells and then shows them in its own way",
            },
        ),
    ),
    hands_on="pytest",
    exit_codes=OF_RUN,
    runs_cells=True,
    examples=(
        "sudo stillframe run --stack debian-sid --rounds 3",
        "sudo stillframe run --cell 'ledger.none.runc@debian-sid' --rounds 1",
    ),
)
IMAGES = Command(
    name="images",
    what="make checkpoint images, carry them, restore them (root)",
    act="harness.commands.images:images",
    description="""\
Makes images of a checkpoint with the engines and tools of a stack, carries
each to a second node by every route (registries, archives, folders), and
restores it there or takes it apart. Prints a table, and writes it into a
report.
""",
    arguments=(
        (
            "--stack",
            {
                "action": "append",
                "default": [],
                "metavar": "NAME",
                "help": f"stack whose tools are tried; repeatable (default {IMAGES_STACK})",
            },
        ),
        (
            "--run",
            {
                "type": path,
                "default": None,
                "metavar": "DIR",
                "help": "add the images to this run and its report (default: a folder of their own)",
            },
        ),
        *BUILDS,
        ALONE,
        PERIOD,
        RING,
        CGROUPS,
        OUT,
        *STACKS,
        KEEP_NAMES,
    ),
    exit_codes={code: OF_RUN[code] for code in (0, 1, 2, 3)},
    examples=("sudo stillframe images", "sudo stillframe images --stack debian-trixie --run out/latest"),
)
CORPUS = Command(
    name="corpus",
    what="keep checkpoints for later versions, or try kept ones (root)",
    act="harness.commands.run:corpus",
    description="""\
`keep` makes one small checkpoint of each participant, restores it, and keeps
it in DIR with its record and all that a restore needs but the runtime. `try`
restores every kept checkpoint with its runtime in every stack, and compares
memory with disk. So next month's versions are tried against this month's
checkpoints. Both write a run with a report. DIR holds the memory of processes
and is readable by its owner alone.
""",
    arguments=(
        (
            "what",
            {"choices": ("keep", "try"), "metavar": "keep|try", "help": "keep new checkpoints, or try kept ones"},
        ),
        ("folder", {"type": path, "metavar": "DIR", "help": "folder of the kept checkpoints"}),
        *CHOICES[:2],
        *BUILDS,
        ALONE,
        SEED,
        OUT,
        *STACKS,
        KEEP_NAMES,
        WORKERS,
        VERBOSE,
    ),
    exit_codes=OF_RUN,
    runs_cells=True,
    examples=(
        "sudo stillframe corpus keep /srv/corpus --stack debian-trixie",
        "sudo stillframe corpus try /srv/corpus --stack debian-sid",
    ),
)
SHELL = Command(
    name="shell",
    what="open a shell in a fresh node of a stack (root)",
    act="harness.commands.shell:shell",
    description="""\
Opens a shell in a fresh node of a stack, with the workload's image in it. A
node is a disposable machine in namespaces: everything in it ends with the
shell. Paste the commands that `stillframe show CELL` prints, or pipe them in:
the trial runs again, is judged as in a run, and ends with a verdict.
""",
    arguments=(
        (
            "stack_name",
            {"metavar": "STACK", "help": "name of the stack, as in ids of cells, or its file"},
        ),
        *BUILDS,
        ("--share", {"type": path, "metavar": "DIR", "help": "share this folder; in the node it is /srv/share"}),
        (
            "--build",
            {
                "type": path,
                "metavar": "DIR",
                "help": "build a program for this stack: share this folder under its own path, install compiler and "
                "libraries, and begin there as its owner",
            },
        ),
        *TOOLS,
        RING,
        CGROUPS,
        CACHE,
        MIRROR,
        (
            "command",
            {
                "nargs": "*",
                "default": [],
                "metavar": "-- COMMAND",
                "help": "run this command instead of a shell, and end with its exit code",
            },
        ),
    ),
    hands_on="command",
    exit_codes={
        0: "the repeated trial found nothing wrong; otherwise the shell's or the command's own code",
        1: "the repeated trial found something wrong",
        2: USAGE,
        3: "the repeated trial proves nothing, or there is no root or no stack",
    },
    examples=(
        "stillframe show 'ledger.none.crun@host' | sudo stillframe shell host",
        "sudo stillframe shell debian-sid --build criu -- make",
    ),
)
BISECT = Command(
    name="bisect",
    what="find the commit of a program that makes a cell fail (root)",
    act="harness.commands.bisect:bisect",
    description="""\
Builds commits of a program in a node of the cell's stack, tries the cell with
each, and has git search for the first one that fails as the bad one does. A
commit that does not build, or fails in another way, is skipped. How often each
commit is tried follows from how often the bad one fails. SOURCE itself stays
as it is: the commits are built in a clone.
""",
    arguments=(
        ("cell_id", {"metavar": "CELL", "help": "id of the cell, as in `stillframe plan`"}),
        ("--good", {"required": True, "metavar": "REF", "help": "a commit with which the cell is clean"}),
        ("--bad", {"required": True, "metavar": "REF", "help": "a later commit with which it fails"}),
        ("--source", {"type": path, "required": True, "metavar": "DIR", "help": "checkout of the program"}),
        ("--build", {"required": True, "metavar": "COMMAND", "help": "what builds it, for a shell in its folder"}),
        (
            "--with",
            {
                "dest": "program",
                "required": True,
                "metavar": "NAME=PATH",
                "help": "the program NAME that this builds: PATH of it, or of an install root, in the source",
            },
        ),
        *TOOLS,
        (
            "--build-seconds",
            {
                "type": int,
                "default": 1800,
                "metavar": "N",
                "help": "skip a build that takes longer (default 1800)",
            },
        ),
        OUT,
        CACHE,
    ),
    exit_codes={
        0: "the commit is found",
        2: f"{USAGE}, a dirty checkout, or ends that are not good and bad",
        3: "commits that cannot be tried hide it, or this machine lacks something",
    },
    examples=(
        "sudo stillframe bisect CELL --good v4.1 --bad HEAD --source criu --build make --with criu=criu/criu",
        "sudo stillframe bisect CELL --good 1.27 --bad main --source crun --build ./build --with crun=root",
    ),
)
COMMANDS = (DOCTOR, PLAN, RUN, WORKLOAD, IMAGES, CORPUS, SHELL, BISECT)
