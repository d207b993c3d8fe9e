"""`stillframe inspect`, `checkpoint` and `translate`, for a checkpoint that anyone made."""

from __future__ import annotations

import argparse
import json
from pathlib import PurePosixPath

from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.checkpoints.untrusted import Budget
from harness.commands.declarations.checkpoints import KUBELET_FOLDER
from harness.cri.kubelet import MAY_BE_FROZEN, Credentials, Kubelet, locate
from harness.model.errors import Exit, UsageError
from harness.oracle import inspection
from harness.records.inspection import Finding, Inspection
from reports.terminal.inspection import show_inspection
from reports.terminal.tell import tell
from reports.text import clean, one_line, sayable

INSPECTED = {
    Finding.CONSISTENT: Exit.EXPECTED,
    Finding.INCONSISTENT: Exit.UNEXPECTED,
    Finding.INCOMPLETE: Exit.INCOMPLETE,
    Finding.NOTHING_TO_COMPARE: Exit.INCOMPLETE,
}


def inspect(arguments: argparse.Namespace) -> int:
    """Print what a checkpoint holds; the exit code says whether it is consistent."""
    found = inspection.inspect(
        arguments.path,
        inspection.disks_of(arguments.disk),
        container=arguments.container,
        budget=Budget.of(arguments.max_bytes),
    )
    return _answered(found, as_json=arguments.json)


def checkpoint(arguments: argparse.Namespace) -> int:
    """Have a kubelet checkpoint a container, and print what the archive holds; the exit code is that of `inspect`."""
    if arguments.folder and not arguments.folder.is_dir():
        raise UsageError(
            f"--folder {arguments.folder} is no folder", remedy="Name the kubelet's folder of checkpoints."
        )
    credentials = Credentials(arguments.ca, arguments.cert, arguments.key, arguments.token)
    kubelet = Kubelet(arguments.kubelet, credentials)
    try:
        said = kubelet.checkpoint(arguments.target, seconds=arguments.timeout)
    except (KeyboardInterrupt, SystemExit):
        tell(MAY_BE_FROZEN)
        raise
    path = locate(said, usual=PurePosixPath(KUBELET_FOLDER), here=arguments.folder)
    tell(one_line(f"The kubelet wrote {path}. It holds the memory of the container: remove it when you are done."))
    return _answered(inspection.inspect(path, {}, budget=Budget.of(arguments.max_bytes)), as_json=arguments.json)


def _answered(found: Inspection, *, as_json: bool) -> int:
    """Print what was found, and return its exit code."""
    if as_json:
        print(json.dumps(sayable(found.model_dump(mode="json")), indent=1))  # noqa: T201
    else:
        show_inspection(found)
    return INSPECTED[found.finding]


def rewrite(arguments: argparse.Namespace) -> int:
    """Translate a checkpoint, and print each change."""
    runtime = Runtime(arguments.runtime) if arguments.runtime else None
    criu = OldCriu(arguments.criu) if arguments.criu else None
    order = Order(arguments.to, runtime, criu, arguments.template, arguments.image)
    done = translate(
        arguments.path,
        arguments.out,
        order,
        container=arguments.container,
        force=arguments.force,
        budget=Budget.of(arguments.max_bytes),
        progress=tell,
    )
    print(one_line(f"{arguments.out}: of {done.was}"))  # noqa: T201
    for change in done.changes or ["nothing had to be changed"]:
        print(f"  {clean(change)}")  # noqa: T201
    for note in done.notes:
        print(f"note: {clean(note)}")  # noqa: T201
    return 0
