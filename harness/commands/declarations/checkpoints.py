"""Commands for a checkpoint that anyone made: read it, have a kubelet make it, predict its restore, translate it."""

from __future__ import annotations

import argparse
import re

from harness.commands.declarations.command import Command
from harness.run.flags import STACKS, Flag, path

PROGRAMS = {
    "runc": ("runc", "criu"),
    "crun": ("crun", "criu"),
    "criu": ("criu",),
    "podman/runc": ("podman", "runc", "criu"),
    "podman/crun": ("podman", "crun", "criu"),
    "cri/containerd/runc": ("containerd", "runc", "criu"),
    "cri/containerd/crun": ("containerd", "crun", "criu"),
    "cri/crio/runc": ("crio", "runc", "criu"),
    "cri/crio/crun": ("crio", "crun", "criu"),
    "runsc": ("runsc",),
}
"""What restores, by the names of runtimes, and the programs that this takes; the first are asked for their versions."""
MOST_GIB = 32
"""Unpacked at most, unless told otherwise."""
KUBELET_FOLDER = "/var/lib/kubelet/checkpoints"
"""Where a kubelet keeps checkpoints, unless its `--root-dir` is another one."""
KUBELET_SECONDS = 120
"""The time that a kubelet gives its engine, unless it is configured otherwise or asked for more."""
MOST_SECONDS = 24 * 3600
NAME = r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?"
"""Name of an object in Kubernetes: a DNS subdomain, as in RFC 1123."""


def size(text: str) -> int:
    """Read a number of bytes, as `20G`."""
    number, letter = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    count = int(number) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[letter] if letter in "KMGT" else 0
    if not 0 < count < 1 << 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes, such as 20G")
    return count


def container_in_pod(text: str) -> str:
    """Read NAMESPACE/POD/CONTAINER."""
    if not re.fullmatch(f"{NAME}/{NAME}/{NAME}", text, flags=re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAMESPACE/POD/CONTAINER, in small letters, such as default/web/app"
        )
    return text


def seconds(text: str) -> int:
    """Read a number of seconds, at most a day."""
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to {MOST_SECONDS}")
    return int(text)


def file(name: str, what: str) -> Flag:
    """Declare an option for a file."""
    return (f"--{name}", {"type": path, "default": None, "metavar": "FILE", "help": what})


CHECKPOINT: Flag = ("path", {"type": path, "metavar": "CHECKPOINT", "help": "archive, or folder of images"})
CHOICE: tuple[Flag, ...] = (
    (
        "--container",
        {"default": "", "metavar": "NAME", "help": "of several checkpoints the one of this name, id or folder"},
    ),
    (
        "--max-bytes",
        {
            "type": size,
            "default": MOST_GIB << 30,
            "metavar": "N",
            "help": f"unpack at most N bytes; N may end in K, M, G or T (default {MOST_GIB}G)",
        },
    ),
)
BAD = (
    "wrong usage, no such file, or not a checkpoint that can be read: of an unknown kind, cut off, damaged, or harmful"
)

INSPECT = Command(
    name="inspect",
    what="read a checkpoint without restoring it",
    act="harness.commands.checkpoints:inspect",
    description="""\
Reads a checkpoint without restoring it. Of any checkpoint it tells who made
it, its processes, mounts, annotations, sizes and CRIU's own times. If a
workload of stillframe runs in it, it compares the counter in memory with the
counter in each surface. Needs no root if the files are readable.

PATH is an archive (plain, or compressed by gzip, zstd, xz or bzip2) or a
folder, which may lie in other folders, of
  - what Podman, CRI-O or containerd exports
  - CRIU's images, as runc, crun, criu and Docker write them; the writable layer
    is found beside them if it is called rootfs-diff.tar, upper, diff or disk;
    --disk names any other
  - a checkpoint image: an OCI layout, `docker save`, `skopeo copy ... dir:`,
    the storage of a registry, or `ctr images export --local
    --skip-manifest-json --all-platforms` of what `ctr containers checkpoint`
    made
  - a checkpoint of gVisor, of which only the header can be read
Of several checkpoints, such as those of a pod, it reads all.

It does not trust what it reads: it writes only into a folder of its own below
TMPDIR, and declines what would take too much memory, disk or time.
""",
    arguments=(
        ("path", {"type": path, "metavar": "PATH", "help": "archive or folder"}),
        (
            "--disk",
            {
                "action": "append",
                "default": [],
                "metavar": "[MOUNTPOINT=]DIR",
                "help": "folder with captured files: the writable layer, or what was mounted at MOUNTPOINT; repeatable",
            },
        ),
        *CHOICE,
        ("--json", {"action": "store_true", "help": "print JSON; schema: reports/schema"}),
    ),
    exit_codes={
        0: "consistent: memory and every surface of every workload are of one instant",
        1: "inconsistent, or a surface is missing from a disk that is in the checkpoint",
        2: BAD,
        3: "incomplete: a surface is not in the checkpoint; or nothing to compare: no workload, or none of its "
        "surfaces; or no room to read it, or to print this",
    },
    examples=(
        "stillframe inspect /tmp/live.tar",
        "stillframe inspect /tmp/images --disk /tmp/upper --json",
    ),
)
KUBELET = Command(
    name="checkpoint",
    what="have a kubelet checkpoint a container, and read the checkpoint",
    act="harness.commands.checkpoints:checkpoint",
    description="""\
Asks the kubelet of a node to checkpoint a container that runs in a pod, and
reads the archive that the kubelet wrote, as `stillframe inspect` does. The
container keeps running. It is frozen while its memory and its disk are saved.

The archive stays on the node, in the kubelet's folder, so run this there, or
mount that folder and name it with --folder. It holds the memory of the
container, with all its secrets.

Do not interrupt this: a kubelet whose client hangs up cancels the checkpoint,
and some engines then leave the container frozen.
""",
    arguments=(
        (
            "target",
            {"type": container_in_pod, "metavar": "NAMESPACE/POD/CONTAINER", "help": "container to checkpoint"},
        ),
        (
            "--kubelet",
            {
                "required": True,
                "metavar": "URL",
                "help": "https://NODE:10250; or http://localhost:PORT/api/v1/nodes/NODE/proxy of `kubectl proxy`; "
                "or unix:/PATH of a socket",
            },
        ),
        file("ca", "certificate of the authority that signed the kubelet's (default: the authorities of this machine)"),
        file("cert", "your certificate"),
        file("key", "its key (default: in the same file)"),
        file("token", "file with a bearer token"),
        (
            "--timeout",
            {
                "type": seconds,
                "default": KUBELET_SECONDS,
                "metavar": "S",
                "help": f"seconds that the checkpoint may take (default {KUBELET_SECONDS}; a kubelet lengthens its own "
                "limit for it, and never shortens it)",
            },
        ),
        (
            "--folder",
            {
                "type": path,
                "default": None,
                "metavar": "DIR",
                "help": f"where this machine has the kubelet's folder of checkpoints (default {KUBELET_FOLDER})",
            },
        ),
        CHOICE[1],
        ("--json", {"action": "store_true", "help": "print JSON; schema: reports/schema"}),
    ),
    exit_codes={
        0: "consistent: memory and every surface of every workload are of one instant",
        1: "inconsistent, or a surface is missing from a disk that is in the checkpoint",
        2: "wrong usage, no such container, or an archive that is not to be read: cut off, damaged, or harmful",
        3: "no checkpoint, or it is not on this machine; or incomplete, or nothing to compare, as with `inspect`",
    },
    examples=(
        "stillframe checkpoint default/web/app --kubelet https://n1:10250 --cert me.pem",
        "stillframe checkpoint kube-system/dns/dns --kubelet unix:/run/n1.sock --json",
    ),
)
COMPATIBLE = Command(
    name="compatible",
    what="predict whether a checkpoint can be restored, and why not",
    act="harness.commands.compatible:act",
    description="""\
Predicts whether a checkpoint can be restored here or by a stack, and why not.
It compares the names and fields that the checkpoint uses with the versions of
the programs. Restores nothing. CHECKPOINT is whatever `stillframe inspect`
reads.
""",
    arguments=(
        CHECKPOINT,
        (
            "--with",
            {
                "dest": "restored_by",
                "action": "append",
                "default": [],
                "metavar": "RUNTIME|NAME=PATH",
                "help": f"only by this runtime ({', '.join(PROGRAMS)}), or with a build of your own in place of the "
                "stack's program NAME; repeatable",
            },
        ),
        (
            "--stack",
            {
                "dest": "stack_name",
                "default": "",
                "metavar": "STACK",
                "help": "by the programs of this stack (its name or its file) instead of this machine's (root)",
            },
        ),
        *CHOICE,
        ("--json", {"action": "store_true", "help": "print JSON"}),
        *STACKS,
    ),
    exit_codes={
        0: "yes, by at least one of them",
        1: "no",
        2: BAD,
        3: "unknown: the files do not tell, or a program is not here",
    },
    examples=("stillframe compatible live.tar", "sudo stillframe compatible live.tar --stack debian-sid --with crun"),
)
TRANSLATE = Command(
    name="translate",
    what="rewrite a checkpoint for another engine, runtime or CRIU version",
    act="harness.commands.checkpoints:rewrite",
    description="""\
Rewrites a checkpoint so that another engine, OCI runtime or version of CRIU
can restore it. The original stays as it is. Tells each change. Needs neither
root nor an engine. Declines, with the reason, what the other side cannot
express.

CHECKPOINT is whatever `stillframe inspect` reads, if it is from
  podman      `podman container checkpoint --export`
  crio        CheckpointContainer of CRI, as by `crictl checkpoint --export`,
              with CRI-O
  containerd  the same with containerd
or, for --runtime and --criu alone, CRIU's images.

--runtime: CRIU asks the runtime for what covers masked paths such as
  /proc/keys, and runc and crun name these differently.
--criu 4.1: since 4.2 images count pages in another field, which older versions
  do not know.

OUT is a plain archive, the same for the same input. It holds the memory of
processes, and only its owner can read it.
""",
    arguments=(
        CHECKPOINT,
        (
            "--to",
            {"choices": ["containerd", "crio", "podman"], "default": "", "help": "engine that is to restore it"},
        ),
        ("--runtime", {"choices": ["runc", "crun"], "default": None, "help": "OCI runtime that is to restore it"}),
        ("--criu", {"choices": ["4.1"], "default": None, "help": "older CRIU version that is to restore it"}),
        (
            "--template",
            {
                "type": path,
                "default": None,
                "metavar": "ARCHIVE",
                "help": "archive of the engine of --to, of a container of the same image; gives what only that engine "
                "knows",
            },
        ),
        (
            "--image",
            {"default": "", "metavar": "NAME@DIGEST", "help": "for containerd: where it pulls the image from"},
        ),
        *CHOICE,
        ("-o --out", {"type": path, "required": True, "metavar": "OUT", "help": "the new archive or folder"}),
        ("--force", {"action": "store_true", "help": "replace OUT if it is a file"}),
    ),
    exit_codes={
        0: "OUT is written",
        1: "declined: the other side cannot express it",
        2: BAD,
        3: "no room to read, or no room or right to write",
    },
    examples=(
        "stillframe translate live.tar --runtime crun -o live-crun.tar",
        "stillframe translate live-crio.tar --to podman --template live.tar -o back.tar",
    ),
)
COMMANDS = (INSPECT, KUBELET, COMPATIBLE, TRANSLATE)
