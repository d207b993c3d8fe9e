"""Commands for checkpoints of anybody's making: what is in them, who restores them, and how to change that."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from harness import inspection, options
from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.translate import FORMS, Order, translate
from harness.compatible import PROGRAMS, compatible, of_stack, of_this_machine
from harness.model import Answer
from harness.options import Options
from harness.records import Finding
from reports.inspection import show_inspection
from reports.letters import clean

INSPECT = """\
Reads a checkpoint without restoring it. Of any: whose it is, what it was made with, mounts, annotations, sizes and
CRIU's own times. Of one of our workloads besides: the counter out of the memory pages, the same counter out of the
captured files, and whether both are of one instant. Needs no root where the files can be read.

PATH is one of
  an archive that Podman, CRI-O or containerd exports, plain or compressed by gzip or zstd
  an archive out of `ctr images export --local --skip-manifest-json --all-platforms` of an image out of
  `ctr containers checkpoint --rw --task`
  a folder with CRIU's images, as runc, crun, criu and Docker write them; its disk is elsewhere: --disk
  a folder or an archive that holds one of these unpacked
  a checkpoint of gVisor, of which only the header can be read
"""

INSPECT_EPILOG = """\
examples:
  stillframe inspect /tmp/live.tar
  stillframe inspect /tmp/images --disk /tmp/upper
  stillframe inspect /tmp/images --disk /tmp/upper --disk /named=/tmp/volume --json

What is read was made by others and is not believed: nothing is written but into a folder of its own below TMPDIR, and
what would take too much memory, disk or time is declined.

exit codes:
  0  consistent: memory and every surface that the checkpoint reaches are of one instant
  1  inconsistent
  2  usage: no such file, no checkpoint of a known kind, or one that is cut off, damaged or made to do harm
  3  nothing to compare: no counter of a workload in its memory, or no disk beside it; or no room or rights to read it
"""

TRANSLATE = """\
Rewrites a checkpoint so that another engine, OCI runtime or version of CRIU restores it; the original stays as it is.
Tells each thing that it changes. Needs neither root nor an engine. What the other could not be told is declined, with
the reason: a file that silently comes back, or is not there, would be worse than no checkpoint.

CHECKPOINT is an archive, plain or compressed by gzip or zstd, or, for --runtime and --criu, a folder of CRIU's images:
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
"""
COMPATIBLE = """\
Reads a checkpoint's files, and the versions of the programs that are to restore it, and says whether they will: which
names and fields the checkpoint uses, and who is known not to understand them. Nothing is restored. Reads archives of
Podman, CRI-O and containerd, and folders of CRIU's images.
"""

COMPATIBLE_EXIT_CODES = """\
exit codes:
  0  yes, by one of them at least
  1  no
  2  usage, or no checkpoint that can be read
  3  nobody can tell from the files, or a program is not here
"""

ANSWERED = {Answer.YES: 0, Answer.UNKNOWN: 3, Answer.NO: 1}
"""Exit codes, in the order in which they count."""

INSPECTED = {Finding.CONSISTENT: 0, Finding.INCONSISTENT: 1, Finding.NOTHING_TO_COMPARE: 3}


def add_to(commands: Any) -> None:
    """Add them to those of the console command."""
    inspected = commands.add_parser(
        "inspect",
        help="read a checkpoint archive or CRIU's images, of anybody's making, without restoring",
        description=INSPECT,
        epilog=INSPECT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inspected.set_defaults(act=_inspect)
    inspected.add_argument("path", type=Path, metavar="PATH", help="archive or folder")
    inspected.add_argument(
        "--disk",
        action="append",
        default=[],
        metavar="[MOUNTPOINT=]DIR",
        help="folder with captured files: the writable layer, or what was mounted at MOUNTPOINT; repeatable",
    )
    inspected.add_argument("--json", action="store_true", help="print JSON; schema: reports/schema")
    asked = commands.add_parser(
        "compatible",
        help="predict whether a checkpoint will be restored here, and why not",
        description=COMPATIBLE,
        epilog=COMPATIBLE_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.set_defaults(act=_compatible)
    asked.add_argument("path", type=Path, metavar="CHECKPOINT", help="archive or folder of images")
    asked.add_argument(
        "--with", dest="restored_by", action="append", default=[], metavar="RUNTIME", help=", ".join(PROGRAMS)
    )
    asked.add_argument(
        "--stack", dest="stack_name", default="", metavar="STACK", help="by programs of a stack instead (root)"
    )
    asked.add_argument("--json", action="store_true", help="for programs")
    options.add_to(asked, options.STACKS)
    translated = commands.add_parser(
        "translate",
        help="rewrite a checkpoint so that another engine, runtime or version of CRIU restores it",
        description=TRANSLATE,
        epilog=TRANSLATE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    translated.set_defaults(act=_translate)
    translated.add_argument("path", type=Path, metavar="CHECKPOINT", help="archive or folder of images")
    translated.add_argument("--to", choices=[form.name for form in FORMS], default="", help="whose archive to make")
    translated.add_argument("--runtime", choices=list(Runtime), type=Runtime, default=None, help="who is to restore it")
    translated.add_argument("--criu", choices=list(OldCriu), type=OldCriu, default=None, help="with which older CRIU")
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
    translated.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="the new archive or folder")
    translated.add_argument("--force", action="store_true", help="replace OUT, if it is a file")


def _inspect(arguments: argparse.Namespace) -> int:
    found = inspection.inspect(arguments.path, inspection.disks_of(arguments.disk))
    if arguments.json:
        print(found.model_dump_json(indent=1))  # noqa: T201
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
    found = compatible(arguments.path, sides)
    if arguments.json:
        print(json.dumps([each.model_dump(mode="json") for each in found], indent=1))  # noqa: T201
    for each in () if arguments.json else found:
        listed = ", ".join(f"{part.name} {part.version}" for part in each.components)
        print(f"{each.prediction.answer}: {clean(f'{each.runtime} ({listed})')}")  # noqa: T201
        for reason in each.prediction.reasons:
            print(f"  {clean(reason)}")  # noqa: T201
    answers = {each.prediction.answer for each in found}
    return next(code for answer, code in ANSWERED.items() if answer in answers)


def _translate(arguments: argparse.Namespace) -> int:
    order = Order(arguments.to, arguments.runtime, arguments.criu, arguments.template, arguments.image)
    done = translate(arguments.path, arguments.out, order, force=arguments.force, progress=_tell)
    print(f"{arguments.out}: of {done.was}")  # noqa: T201
    for change in done.changes or ["nothing had to be changed"]:
        print(f"  {clean(change)}")  # noqa: T201
    for note in done.notes:
        print(f"note: {clean(note)}")  # noqa: T201
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201
