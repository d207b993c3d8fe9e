"""How clear a refusal is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.model.outcomes import Outcome, Stage, Verdict
from harness.records.image_path import StepRefusal

MOST_SAID = 600
"""Letters of what was said that are kept, from the end; the commands have it all."""
FORMAT = {
    "media type": r"media ?type|application/[\w.+-]+",
    "that it is no checkpoint": r"\bno(t a)? checkpoint",
}
"""Facts about an image's form, and patterns by which they are told."""

_CRIU = re.compile(r"^\(\d+\.\d+\)|criu failed|criu: |CRIU restor|`criu|OCI runtime", re.IGNORECASE)
"""Lines out of CRIU's log, and what runtimes and engines say when it was called and failed."""
_ERROR = re.compile(r"^(Error|ctr): |level=(error|fatal)")


def facts_of_base(name: str, *, digest: str, identity: str) -> dict[str, str]:
    """Facts about the image that the source container was made from, and patterns by which they are told."""
    return {
        "name of the base image": re.escape(name.removesuffix(":latest")),
        "id of the base image": re.escape(identity.removeprefix("sha256:")[:12]),
        "digest of the base image": re.escape(digest.removeprefix("sha256:")[:12]),
    }


def refusal(
    stderr: str, facts: Mapping[str, str], *, log: Sequence[str] = (), left: tuple[str, ...] = ()
) -> StepRefusal:
    """Quality what a command said when it declined; `log` is CRIU's, where there is one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = " / ".join([line for line in lines if _ERROR.search(line)] or lines)
    return StepRefusal(
        said=said[-MOST_SAID:],
        early=not any(_CRIU.search(line) for line in (*lines, *log)),
        named=tuple(fact for fact, pattern in facts.items() if pattern and re.search(pattern, said, re.IGNORECASE)),
        left=left,
    )


def verdict(found: StepRefusal, stage: Stage | None = None) -> Verdict:
    """Give a refusal that is early and names a fact its name; any other is a failure."""
    return Verdict(outcome=Outcome.REFUSED if found.clear else Outcome.RESTORE_FAILED, stage=stage, reason=found.said)
