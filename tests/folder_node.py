"""A simulated node that needs neither root nor a stack: its file system is a folder, and its programs are scripted."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.host.process import Executor, Process
from harness.model.cells import CgroupVersion
from harness.stacks.node import Node

Answer = tuple[int, str, str]
"""Exit code, standard output, standard error."""
Program = Callable[[Sequence[str], str], Answer]
"""Takes a command line and the current folder."""


class Ended:
    """A process that has already ended."""

    def __init__(self, code: int) -> None:
        self.code = code

    def wait(self, seconds: float) -> int:
        return self.code

    def signal(self, number: int) -> None:
        raise AssertionError("an ended program was signalled")


class Script(Executor):
    """Answers a command by its first known word; other commands succeed."""

    where = "folder"

    def __init__(self, programs: dict[str, Program]) -> None:
        super().__init__()
        self.programs = programs

    def _start(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, stdio: tuple[int | None, int | None, int | None]
    ) -> Process:
        program = next((self.programs[word] for word in argv if word in self.programs), None)
        code, *texts = program(argv, cwd) if program else (0, "", "")
        for stream, text in zip(stdio[1:], texts, strict=True):
            if stream is not None:
                os.write(stream, text.encode())
        return Ended(code)


class FolderNode(Node):
    """A node in the folder `root`; programs in `TOOLS` are real, others succeed unless `answer` says otherwise."""

    TOOLS = ("ln", "mkdir", "mv", "rm")

    def __init__(self, root: Path, version: CgroupVersion = CgroupVersion.V2) -> None:
        self.stack = "folder"
        self._answers = {}
        self.name = "node"
        self.version = version
        self.pid = os.getpid()
        self.root = root
        self.programs: dict[str, Program] = dict.fromkeys(self.TOOLS, self._work_on_files)
        self._executor = Script(self.programs)  # type: ignore[assignment]
        self.run, self.note = self._executor.run, self._executor.note
        self.accommodations = {}
        self.remarks = []
        self.daemons = []
        self.crash_logs = {}

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")

    entry = path

    def answer(self, word: str, code: int = 0, *, stdout: str = "", stderr: str = "") -> None:
        """Set the answer to commands with that word."""
        self.programs[word] = lambda *_: (code, stdout, stderr)

    def put(self, inside: str, text: str) -> None:
        """Write a file without a journal entry."""
        self.path(inside).parent.mkdir(parents=True, exist_ok=True)
        self.path(inside).write_text(text, encoding="utf-8")

    def put_log(self, inside: str, text: str) -> None:
        """Write what the next command logs: adapters ignore older logs."""
        self.put(inside, text)
        later = time.time() + 3600
        os.utime(self.path(inside), (later, later))

    def said(self) -> list[str]:
        """Return the commands so far, one per line, without written files."""
        return [" ".join(command.argv) for command in self.journal.commands if command.argv]

    def _work_on_files(self, argv: Sequence[str], _: str) -> Answer:
        paths = [self.path(word) for word in argv[1:] if word.startswith("/")]
        match argv[0], paths:
            case "ln", [_, link]:
                link.symlink_to(argv[-2])
            case "mkdir", _:
                for path in paths:
                    path.mkdir(parents=True, exist_ok=True)
            case "mv", [source, target]:
                shutil.move(source, target)
            case "rm", _:
                for path in paths:
                    path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
        return 0, "", ""


class BareNode(FolderNode):
    """A node without any program."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._executor = Nobody({})  # type: ignore[assignment]
        self.run = self._executor.run


class Nobody(Script):
    """Answers like the node's init if a program is missing."""

    def _start(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, stdio: tuple[int | None, int | None, int | None]
    ) -> Process:
        if stdio[2] is not None:
            os.write(stdio[2], f"{argv[0]}: No such file or directory\n".encode())
        return Ended(127)
