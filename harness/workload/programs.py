"""Programs of workloads, compiled from source and kept in the cache."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from harness.foreign.files import sha256_of
from harness.host import compiler
from harness.host.process import HOST
from harness.model.errors import CommandFailed, EnvironmentUnfit
from harness.records.documents import writable
from harness.workload import definitions
from harness.workload.definitions import Workload

FLAGS = ("-std=gnu11", "-O2", "-static", "-Wall", "-Wextra")
COMPILE_SECONDS = 120.0


SANDBOX = "pause"
"""Program of the process that holds the namespaces of a pod; it is no workload."""


def compile_workload(workload: Workload, cache: Path) -> Path:
    """Return the static binary of a workload's program, as `compile_program` does."""
    return compile_program(workload.program_folder, cache)


def compile_program(folder: Path, cache: Path) -> Path:
    """Return the static binary of a folder's C files, compiling it unless `cache` has it; else `EnvironmentUnfit`."""
    command = compiler.find()
    name, files = folder.name, sorted(folder.glob("*.[ch]"))
    try:
        version = HOST.run([*command, "--version"], deadline=COMPILE_SECONDS).stdout
        content = (part for path in files for part in (path.name, path.read_text(encoding="utf-8")))
        identity = "\0".join((*content, *FLAGS, *command, version))
        key = hashlib.sha256(identity.encode()).hexdigest()[:16]
        binary = cache.resolve() / "workloads" / f"{name}-{key}" / name
        if not _intact(binary):
            with writable(binary.parent):
                _build([*command, *FLAGS, *(str(path) for path in files if path.suffix == ".c")], binary)
    except CommandFailed as error:
        raise EnvironmentUnfit(f"the program {name} cannot be compiled: {error}", remedy=compiler.INSTALL) from error
    return binary


def compile_all(cache: Path) -> dict[str, Path]:
    """Compile the programs of all workloads, and `SANDBOX`, and return the binaries by program."""
    folders = {folder for name in definitions.available() for folder in definitions.find(name).program_folders}
    folders.add(definitions.workloads_root() / SANDBOX)
    return {folder.name: compile_program(folder, cache) for folder in sorted(folders)}


def _build(command: list[str], binary: Path) -> None:
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent) as aside:
        built, digest = Path(aside, binary.name), Path(aside, "sha256")
        HOST.run([*command, "-o", str(built)], deadline=COMPILE_SECONDS)
        built.chmod(0o755)
        digest.write_text(sha256_of(built), encoding="ascii")
        built.rename(binary)
        digest.rename(binary.parent / digest.name)


def _intact(binary: Path) -> bool:
    try:
        return (binary.parent / "sha256").read_text(encoding="ascii") == sha256_of(binary)
    except (OSError, UnicodeDecodeError):
        return False
