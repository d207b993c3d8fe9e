"""Commands for checkpoints of anybody's making: what is in them, who restores them, and how to change that."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.translate import FORMS, Order, translate
from harness.checkpoints.untrusted import MOST_KEPT, Budget
from harness.commands.compatible import PROGRAMS, compatible, of_stack, of_this_machine
from harness.model.outcomes import Answer
from harness.oracle import inspection
from harness.records.inspection import Finding
from harness.run import options
from harness.run.options import Options
from reports.terminal.inspection import show_inspection
from reports.text import clean, one_line, sayable

INSPECT = """\
Reads a checkpoint without restoring it. Of any: who made it, its processes, mounts, annotations, sizes and CRIU's own
times. If one of our workloads runs in it: the counter in its memory, the same counter in each of its surfaces, and
whether all of them are of one instant. Needs no root where the files can be read.

PATH is an archive (plain, or compressed by gzip, zstd, xz or bzip2) or a folder, which may lie in other folders, of
  what Podman, CRI-O or containerd exports
  CRIU's images, as runc, crun, criu and Docker write them; the writable layer is found beside them if it is called
    rootfs-diff.tar, upper, diff or disk, and --disk names any other
  a checkpoint image: an OCI layout, `docker save`, `skopeo copy ... dir:`, the storage of a registry, or
    `ctr images export --local --skip-manifest-json --all-platforms` of what `ctr containers checkpoint` made
  a checkpoint of gVisor, of which only the header can be read
If there are several checkpoints, as of a pod, all are read.
"""

INSPECT_EPILOG = """\
examples:
  stillframe inspect /tmp/live.tar
  stillframe inspect /tmp/images --disk /tmp/upper
  stillframe inspect /tmp/images --disk /tmp/upper --disk /named=/tmp/volume --json

What is read was made by others and is not believed: nothing is written but into a folder of its own below TMPDIR, and
what would take too much memory, disk or time is declined.

exit codes:
  0  consistent: memory and every surface of every workload are of one instant
  1  inconsistent, or a surface is missing from a disk that is in the checkpoint
  2  usage: no such file, no checkpoint of a known kind, or one that is cut off, damaged or made to do harm
  3  incomplete: what is in it is of one instant, and a surface is not in it; or nothing to compare: no workload in its
     memory, or none of its surfaces in it; or no room or rights to read it, or to print this
 70  a fault of stillframe's own, which says nothing of the checkpoint
"""

TRANSLATE = """\
Rewrites a checkpoint so that another engine, OCI runtime or version of CRIU restores it; the original stays as it is.
Tells each thing that it changes. Needs neither root nor an engine. What the other could not be told is declined, with
the reason: a file that silently comes back, or is not there, would be worse than no checkpoint.

CHECKPOINT is whatever `stillframe inspect` finds it in, of one of these, or, for --runtime and --criu, CRIU's images:
  podman      `podman container checkpoint --export`
  crio        CheckpointContainer of CRI, as by `crictl checkpoint --export`, with CRI-O
  containerd  the same with containerd
"""

TRANSLATE_EPILOG = """\
examples:
  stillframe translate live.tar --runtime crun -o live-crun.tar
  stillframe translate live.tar --criu 4.1 -o for-debian-13.tar
  stillframe translate live.tar --to crio -o live-crio.tar
  stillframe translate live-crio.tar --to podman --template live.tar --runtime runc -o back.tar
  stillframe translate /tmp/images --runtime runc --criu 4.1 -o /tmp/images-runc

--runtime: CRIU asks the runtime for what covers masked paths (/proc/keys and so on), which runc and crun name
differently; newer versions of crun cover folders in their own way. --criu 4.1: from 4.2 on images count pages in
another field, of which older versions know nothing.

The result is a plain archive, the same for the same input, readable by its owner alone: it holds a process's memory.

exit codes:
  0  written
  1  declined: it cannot be said in the other's words
  2  usage: no such file, no checkpoint of a known kind, or one that is cut off, damaged or made to do harm
  3  no room or rights to read or write it
 70  a fault of stillframe's own, which says nothing of the checkpoint
"""
COMPATIBLE = """\
Reads a checkpoint's files, and the versions of the programs that are to restore it, and says whether they will: which
names and fields the checkpoint uses, and who is known not to understand them. Nothing is restored. CHECKPOINT is
whatever `stillframe inspect` finds it in.
"""

COMPATIBLE_EXIT_CODES = """\
exit codes:
  0  yes, by one of them at least
  1  no
  2  usage, or no checkpoint that can be read
  3  nobody can tell from the files, or a program is not here
 70  a fault of stillframe's own, which says nothing of the checkpoint
"""

ANSWERED = {Answer.YES: 0, Answer.UNKNOWN: 3, Answer.NO: 1}
"""Exit codes, in the order in which they count."""

INSPECTED = {
    Finding.CONSISTENT: 0,
    Finding.INCONSISTENT: 1,
    Finding.INCOMPLETE: 3,
    Finding.NOTHING_TO_COMPARE: 3,
}


def add_to(commands: Any) -> None:
    """Add them to those of the console command."""
    inspected = commands.add_parser(
        "inspect",
        help="read a checkpoint archive or CRIU's images, of anybody's making, without restoring",
        description=INSPECT,
        epilog=INSPECT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inspected.set_defaults(act=partial(_swept, _inspect))
    inspected.add_argument("path", type=_path, metavar="PATH", help="archive or folder")
    inspected.add_argument(
        "--disk",
        action="append",
        default=[],
        metavar="[MOUNTPOINT=]DIR",
        help="folder with captured files: the writable layer, or what was mounted at MOUNTPOINT; repeatable",
    )
    _add_choice(inspected)
    inspected.add_argument("--json", action="store_true", help="print JSON; schema: reports/schema")
    asked = commands.add_parser(
        "compatible",
        help="predict whether a checkpoint will be restored here, and why not",
        description=COMPATIBLE,
        epilog=COMPATIBLE_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.set_defaults(act=partial(_swept, _compatible))
    asked.add_argument("path", type=_path, metavar="CHECKPOINT", help="archive or folder of images")
    asked.add_argument(
        "--with", dest="restored_by", action="append", default=[], metavar="RUNTIME", help=", ".join(PROGRAMS)
    )
    asked.add_argument(
        "--stack", dest="stack_name", default="", metavar="STACK", help="by programs of a stack instead (root)"
    )
    _add_choice(asked)
    asked.add_argument("--json", action="store_true", help="for programs")
    options.add_to(asked, options.STACKS)
    translated = commands.add_parser(
        "translate",
        help="rewrite a checkpoint so that another engine, runtime or version of CRIU restores it",
        description=TRANSLATE,
        epilog=TRANSLATE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    translated.set_defaults(act=partial(_swept, _translate))
    translated.add_argument("path", type=_path, metavar="CHECKPOINT", help="archive or folder of images")
    translated.add_argument("--to", choices=[form.name for form in FORMS], default="", help="whose archive to make")
    translated.add_argument(
        "--runtime", choices=[each.value for each in Runtime], default=None, help="who is to restore it"
    )
    translated.add_argument(
        "--criu", choices=[each.value for each in OldCriu], default=None, help="with which older CRIU"
    )
    translated.add_argument(
        "--template",
        type=Path,
        default=None,
        metavar="ARCHIVE",
        help="archive of the engine of --to, of a container of the same image, for what only the engine knows",
    )
    translated.add_argument(
        "--image", default="", metavar="NAME@DIGEST", help="for containerd: where it pulls the image from"
    )
    _add_choice(translated)
    translated.add_argument("-o", "--out", type=_path, required=True, metavar="OUT", help="the new archive or folder")
    translated.add_argument("--force", action="store_true", help="replace OUT, if it is a file")


def _add_choice(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--container", default="", metavar="NAME", help="of several checkpoints the one of this name, id or folder"
    )
    command.add_argument(
        "--max-bytes",
        type=_size,
        default=MOST_KEPT,
        metavar="N",
        help=f"unpack at most N bytes, which may end in K, M, G or T; default: {MOST_KEPT >> 30}G",
    )


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a name is wanted, and this one is empty")
    return Path(text)


def _size(text: str) -> int:
    """A number of bytes; `ValueError` for what is none."""
    number, letter = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    size = int(number) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[letter] if letter in "KMGT" else 0
    if not 0 < size < 1 << 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes: 1 or more, as 20G")
    return size


def _swept(act: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Act, and let no signal that asks for an end leave behind what was unpacked, which holds memory of processes."""
    if threading.current_thread() is not threading.main_thread():
        return act(arguments)
    ends = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]

    def end(number: int, _: FrameType | None) -> None:
        for each in ends:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in ends:
        signal.signal(each, end)
    try:
        return act(arguments)
    finally:
        for each in ends:
            signal.signal(each, signal.SIG_DFL)


def _inspect(arguments: argparse.Namespace) -> int:
    found = inspection.inspect(
        arguments.path,
        inspection.disks_of(arguments.disk),
        container=arguments.container,
        budget=Budget.of(arguments.max_bytes),
    )
    if arguments.json:
        print(json.dumps(sayable(found.model_dump(mode="json")), indent=1))  # noqa: T201
    else:
        show_inspection(found)
    return INSPECTED[found.finding]


def _compatible(arguments: argparse.Namespace) -> int:
    stack, chosen = arguments.stack_name, arguments.restored_by
    sides = (
        of_stack(stack, chosen, Options.read(lambda name: getattr(arguments, name, ())))
        if stack
        else of_this_machine(chosen)
    )
    found = compatible(arguments.path, sides, container=arguments.container, budget=Budget.of(arguments.max_bytes))
    if arguments.json:
        print(json.dumps(sayable([each.model_dump(mode="json") for each in found]), indent=1))  # noqa: T201
    for each in () if arguments.json else found:
        listed = ", ".join(f"{part.name} {part.version}" for part in each.components)
        print(f"{each.prediction.answer}: {clean(f'{each.runtime} ({listed})')}")  # noqa: T201
        for reason in each.prediction.reasons:
            print(f"  {clean(reason)}")  # noqa: T201
    answers = {each.prediction.answer for each in found}
    return next(code for answer, code in ANSWERED.items() if answer in answers)


def _translate(arguments: argparse.Namespace) -> int:
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
        progress=_tell,
    )
    print(one_line(f"{arguments.out}: of {done.was}"))  # noqa: T201
    for change in done.changes or ["nothing had to be changed"]:
        print(f"  {clean(change)}")  # noqa: T201
    for note in done.notes:
        print(f"note: {clean(note)}")  # noqa: T201
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201
