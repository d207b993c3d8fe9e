"""The exit codes, and the exceptions: each says what happened, with which values, and what to do next.

StillframeError          base; `remedy` says what to do              exit 3
  UsageError             the command line has a wrong value          exit 2
    WrongFile            a wrong line in a file that a user wrote
  RecordError            a record or plan cannot be read             exit 2
  EnvironmentUnfit       the machine lacks something
    StackUnavailable     a stack cannot be built
    Unwritable           a file or folder cannot be written
  Interrupted            a signal ended a run before it had a result
  NotComparable          two runs cannot be compared
  Untranslatable         the target form has no place for a part     exit 1
  CommandFailed          a command ended with an unexpected exit code
  DeadlineExceeded       a command or a wait took too long
    Lost                 nobody is left who could make it happen
    GivenUp              the caller gave up on it, as it was told to
  StageFailed            a stage of a trial failed, with an outcome

Any other exception is a fault of Stillframe                         exit 70
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.model.outcomes import Outcome, Stage


class Exit(IntEnum):
    """Exit code of a run. The first one that applies prevails."""

    BLIND = 4
    UNEXPECTED = 1
    INCOMPLETE = 3
    EXPECTED = 0


USAGE = 2
"""Exit code after a wrong command line, as argparse has it."""
FAULT = 70
"""Exit code after an unexpected exception: EX_SOFTWARE of sysexits.h."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as in a shell."""
UNHEARD = 141
"""Exit code if the reader closes the pipe before there is an answer, as in a shell after SIGPIPE."""
EXIT_CODES: dict[int, str] = {
    Exit.EXPECTED: "as expected, or done",
    Exit.UNEXPECTED: "not as expected: an outcome is worse or better than expected, or something was left behind",
    USAGE: "wrong usage: an option, a name or a path is wrong, or a file cannot be read; nothing was started",
    Exit.INCOMPLETE: "incomplete: trials are missing, a signal came, this machine lacks something, or a file cannot be "
    "written",
    Exit.BLIND: "the proof of the instrument failed: no result of the run counts",
    FAULT: "a fault in stillframe itself: please report it",
    INTERRUPTED: "interrupted by Ctrl-C; a run ends with 3, because it is incomplete",
    UNHEARD: "the reader of the output closed it before there was an answer",
}
"""All exit codes of all commands, with what each means everywhere."""


class StillframeError(Exception):
    """Base of all errors: `str()` gives the sentence, `remedy` the next step."""

    exit_code: int = Exit.INCOMPLETE

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}" if self.remedy else self.what


class UsageError(StillframeError):
    """The user gave a value that is not valid."""

    exit_code = USAGE


class WrongFile(UsageError):
    """A file that the user wrote is wrong; `sentences` say what, each with file, line, field and remedy."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


class EnvironmentUnfit(StillframeError):
    """The machine lacks what the work needs."""


class StackUnavailable(EnvironmentUnfit):
    """A stack cannot be built or used."""


UNWRITTEN = " cannot be written: "


class Unwritable(EnvironmentUnfit):
    """A file or folder cannot be written; the sentence names it and the cause."""

    def __init__(self, path: Path | str, error: OSError) -> None:
        super().__init__(f"{path}{UNWRITTEN}{error.strerror}", remedy=REMEDIES.get(error.errno or 0, ""))


REMEDIES = {
    errno.ENOSPC: "Free some space, or choose another folder.",
    errno.EDQUOT: "Free some space, or choose another folder.",
    errno.EROFS: "Choose another folder.",
    errno.EACCES: "Choose a folder of your own.",
    errno.EPERM: "Choose a folder of your own.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "A file has the place of a folder: choose another folder.",
    errno.EEXIST: "A file has the place of a folder: choose another folder.",
    errno.EISDIR: "A folder has the place of a file: choose another folder.",
}
"""What to do about a failure to write."""


class Interrupted(StillframeError):
    """A signal ended a run before it had a result."""


class NotComparable(StillframeError):
    """Two runs cannot be compared: a difference between them would say nothing about the runtimes."""


class Untranslatable(StillframeError):
    """The target form has no place for a part of the checkpoint; the sentence names the part."""

    exit_code = Exit.UNEXPECTED


class RecordError(StillframeError):
    """A plan or record cannot be read."""

    exit_code = USAGE


class CommandFailed(StillframeError):
    """A command ended with an exit code that the caller does not accept."""

    def __init__(
        self, what: str, *, stdout: str = "", stderr: str = "", exit_code: int | None = None, runtime: bool = False
    ) -> None:
        """`runtime`: the command is one of the runtime under test, so its failure is a finding and not our error."""
        super().__init__(what)
        self.runtime = runtime
        self.stdout = stdout
        self.stderr = stderr
        self.code = exit_code
        self.late = False
        """True if CRIU or a sandbox had already started to load memory."""
        self.log: tuple[str, ...] = ()
        """Lines that matter in the log behind the command, if it has one."""


class DeadlineExceeded(StillframeError):
    """Something did not happen in time; the sentence says what, and how long we waited."""

    def __init__(self, what: str, *, ours: bool = False, log: tuple[str, ...] = ()) -> None:
        """`ours`: the command is one of the harness, not of the runtime under test; `log`: what was seen then."""
        super().__init__(what)
        self.ours = ours
        self.log = log


class Lost(DeadlineExceeded):
    """What was waited for cannot come any more: nobody is left who could make it happen."""


class GivenUp(DeadlineExceeded):
    """The caller of a runtime gave up, as its `Patience` said."""


class StageFailed(StillframeError):
    """A stage of a trial failed, which decides the trial's outcome."""

    def __init__(self, stage: Stage, outcome: Outcome, reason: str, *, log: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.stage = stage
        self.outcome = outcome
        self.reason = reason
        self.log = log


LISTED = 24
"""Valid names that an error lists at most."""


def unknown(kind: str, value: str, valid: Iterable[str], *, nearest: int = 0) -> UsageError:
    """Return the error for a value outside a known set; it lists the valid names and suggests the nearest one.

    `nearest`: list only this many of the nearest names, for a set that is too large to list.
    """
    names = sorted(map(str, valid))
    if nearest:
        like = difflib.get_close_matches(value, names, n=nearest, cutoff=0.0)
        return UsageError(f"unknown {kind} {value!r}", remedy=f"Nearest: {', '.join(like)}.")
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    return UsageError(f"unknown {kind} {value!r}", remedy=f"Valid: {shown}.{guess}")
