"""Grades of a tool's refusal: how early and how clear it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.model.outcomes import Outcome, Stage, Verdict
from harness.records.image_path import StepRefusal

MOST_SAID = 600
"""Characters of a message that are kept, from the end; the commands have the whole message."""
FORMAT = {
    "media type": r"media ?type|application/[\w.+-]+",
    "that it is not a checkpoint": r"\bno(t a)? checkpoint",
}
"""Patterns that find facts about an image's form in a message, by fact."""

_CRIU = re.compile(r"^\(\d+\.\d+\)|criu failed|criu: |CRIU restor|`criu|OCI runtime", re.IGNORECASE)
"""Pattern for lines of CRIU's log, and for messages of runtimes and engines about a failed call of CRIU."""
_ERROR = re.compile(r"^(Error|ctr): |level=(error|fatal)")


def facts_of_base(name: str, *, digest: str, identity: str) -> dict[str, str]:
    """Return patterns that find facts about the base image in a message, by fact."""
    return {
        "name of the base image": re.escape(name.removesuffix(":latest")),
        "id of the base image": re.escape(identity.removeprefix("sha256:")[:12]),
        "digest of the base image": re.escape(digest.removeprefix("sha256:")[:12]),
    }


def refusal(
    stderr: str, facts: Mapping[str, str], *, log: Sequence[str] = (), left: tuple[str, ...] = ()
) -> StepRefusal:
    """Grade the message of a command that declined; `log`: CRIU's log, if there is one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = " / ".join([line for line in lines if _ERROR.search(line)] or lines)
    return StepRefusal(
        said=said[-MOST_SAID:],
        early=not any(_CRIU.search(line) for line in (*lines, *log)),
        named=tuple(fact for fact, pattern in facts.items() if pattern and re.search(pattern, said, re.IGNORECASE)),
        left=left,
    )


def verdict(found: StepRefusal, stage: Stage | None = None) -> Verdict:
    """Return the verdict: `refused` for an early refusal that names a fact, else `restore-failed`."""
    return Verdict(outcome=Outcome.REFUSED if found.clear else Outcome.RESTORE_FAILED, stage=stage, reason=found.said)
