"""The exception tree: what happened, with which values, and what to do next.

StillframeError          base; `remedy` says what to do
  UsageError             a wrong word on the command line            exit 2
    WrongFile            a wrong line in a file that a user wrote
  EnvironmentUnfit       the machine lacks something                 exit 3
    StackUnavailable     a stack cannot be built
  NotComparable          two runs cannot be held against each other  exit 3
  RecordError            a record or plan cannot be read             exit 2
  CommandFailed          a command ended otherwise than accepted
  DeadlineExceeded       a command or a wait took too long
  StageFailed            a step of a trial ended with an outcome of its own

Any other exception is a fault of ours                               exit 70
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.model.outcomes import Outcome, Stage


FAULT = 70
"""Exit code of what nobody has thought of: EX_SOFTWARE of sysexits.h."""
UNHEARD = 141
"""Exit code where nobody reads on before there is an answer, as of a shell after SIGPIPE."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a shell."""


class StillframeError(Exception):
    """Base: `str()` gives the sentence, `remedy` the next step."""

    exit_code = 3

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}" if self.remedy else self.what


class UsageError(StillframeError):
    """A value that the user gave is not one of those that exist."""

    exit_code = 2


class WrongFile(UsageError):
    """A file that the user wrote is wrong; `sentences` say what, each with file, line, field and remedy."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


class EnvironmentUnfit(StillframeError):
    """The machine lacks what the work needs."""


class StackUnavailable(EnvironmentUnfit):
    """A stack cannot be built or used."""


class NotComparable(StillframeError):
    """Two runs cannot be held against each other: a difference would not speak about the runtimes."""


class Untranslatable(StillframeError):
    """A checkpoint has something that the other form has no place for; the sentence says what."""

    exit_code = 1


class RecordError(StillframeError):
    """A plan or record cannot be read."""

    exit_code = 2


class CommandFailed(StillframeError):
    """A command ended with an exit code that was not accepted."""

    def __init__(
        self, what: str, *, stdout: str = "", stderr: str = "", exit_code: int | None = None, runtime: bool = False
    ) -> None:
        """`runtime`: it was a command of the runtime under test, so its failure is a finding and not our error."""
        super().__init__(what)
        self.runtime = runtime
        self.stdout = stdout
        self.stderr = stderr
        self.code = exit_code
        self.late = False
        """What was asked to load memory had begun: CRIU, or a sandbox."""
        self.log: tuple[str, ...] = ()
        """Lines of the log behind the command that matter, where there is one."""


class DeadlineExceeded(StillframeError):
    """Something did not happen in time; what was awaited and for how long is in the sentence."""

    def __init__(self, what: str, *, ours: bool = False) -> None:
        """`ours`: it was a command of the harness, not of the runtime under test."""
        super().__init__(what)
        self.ours = ours


class StageFailed(StillframeError):
    """A step of a trial ended with an outcome of its own."""

    def __init__(self, stage: Stage, outcome: Outcome, reason: str, *, log: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.stage = stage
        self.outcome = outcome
        self.reason = reason
        self.log = log


LISTED = 24
"""Of more valid names than these the first are named."""


def unknown(kind: str, value: str, valid: Iterable[str], *, nearest: int = 0) -> UsageError:
    """Build the error for a value outside a known set: the nearest match and all valid names.

    `nearest`: so many of the nearest alone, for a set that is too large to be listed.
    """
    names = sorted(map(str, valid))
    if nearest:
        like = difflib.get_close_matches(value, names, n=nearest, cutoff=0.0)
        return UsageError(f"unknown {kind} {value!r}", remedy=f"Nearest: {', '.join(like)}.")
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    return UsageError(f"unknown {kind} {value!r}", remedy=f"Valid: {shown}.{guess}")
