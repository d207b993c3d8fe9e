"""What is needed to build a program for a stack, as a layer over it, which is kept in the cache.

Comes in: a stack's root file system, Debian source packages whose build dependencies are wanted, and further packages.
Goes out: a folder that lies over the root. The stack itself is never written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.model.errors import UsageError
from harness.records.documents import writable
from harness.records.run_files import make_folder
from harness.stacks.build import Progress, locked, made_aside
from harness.stacks.definition import KEY_DIGITS, StackDefinition

ALWAYS = ("build-essential", "pkgconf", "git")
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.:-]*(/[a-z-]+)?")
INSTALL = r"""
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/over,workdir=$2/work" "$2/root"
cd "$2/root"
mount --rbind /dev dev
mount -t proc proc proc
for name in resolv.conf hosts; do
    [ ! -e /etc/$name ] || { touch etc/$name; mount --bind "$(realpath /etc/$name)" etc/$name; }
done
apt-config dump | grep '^Acquire::' | grep -v '^Acquire::IndexTargets' >etc/apt/apt.conf.d/90host || true
cat >>etc/apt/apt.conf.d/90host <<'END'
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Languages "none";
APT::Install-Recommends "false";
END
for list in etc/apt/sources.list etc/apt/sources.list.d/*.list; do
    [ ! -s "$list" ] || sed -n 's/^deb /deb-src /p' "$list" >>etc/apt/sources.list.d/sources-of-the-host.list
done
export DEBIAN_FRONTEND=noninteractive
chroot . apt-get update
[ -z "$3" ] || chroot . apt-get --yes build-dep $3
chroot . apt-get --yes install $4
rm -rf var/lib/apt/lists/* var/cache/apt/*.bin
"""
"""Arguments: the stack's root, the folder of the layer, source packages, packages."""


def prepare(
    definition: StackDefinition,
    root: Path,
    cache: Path,
    *,
    sources: Sequence[str] = (),
    packages: Sequence[str] = (),
    progress: Progress,
    waiting: Callable[[], None] = lambda: None,
) -> Path | None:
    """Return the layer, made if the cache does not have it; None for a stack that is not made of Debian's packages.

    `sources`: Debian source packages whose build dependencies are wanted. Raise `UsageError` for what is no name of a
    package, and `StackUnavailable` if apt cannot install them.
    """
    for name in (*sources, *packages):
        if not PACKAGE.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a Debian package")
    if definition.suite is None:
        if sources or packages:
            what = f"{definition.name} is not made of a suite, so nothing is installed over it"
            raise UsageError(what, remedy="Install there what the build needs, and leave out --needs.")
        return None
    intact = (root.parent / "fingerprint").read_text(encoding="ascii")
    wanted = f"{intact} {' '.join(sorted(sources))} | {' '.join(sorted(packages))} | {INSTALL}"
    layers = cache / "layers"
    make_folder(layers)
    ready = layers / f"{definition.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:KEY_DIGITS]}"
    with writable(layers), locked(layers / f"{ready.name}.lock", waiting):
        if (left_over := layers / f".building-{ready.name}").exists():
            shutil.rmtree(left_over)
        if not ready.exists():
            progress(f"{definition.name}: installing what builds need")
            failure = f"what the build needs cannot be installed over {definition.name}"
            remedy = "Name Debian source packages with --needs, and packages with --install."
            done = made_aside(ready, definition.name, progress, waiting, failure=failure, remedy=remedy)
            with done as (aside, execute):
                for name in ("over", "work", "root"):
                    (aside / name).mkdir()
                words = (" ".join(sources), " ".join((*ALWAYS, *packages)))
                execute(["sh", "-c", INSTALL, "install", str(root), str(aside), *words])
    return ready / "over"


def source_of(folder: Path) -> str:
    """Return the Debian source package whose tree is in a folder: by `debian/control`, or by the folder's name."""
    with contextlib.suppress(OSError):
        control = (folder / "debian/control").read_text(encoding="utf-8", errors="replace")
        if named := re.search(r"^Source: *(\S+)", control, re.MULTILINE):
            return named[1]
    return re.sub(r"[-_]v?\d.*", "", folder.name).lower()
