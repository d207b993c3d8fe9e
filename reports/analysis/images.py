"""Checkpoint images as tables: what survives each way, what restores, and what is said without the base image. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.image_path import Attempt, Base, ImageFacts, ImagePath, Step, StepRefusal
from reports.analysis.cells import NO_EVIDENCE, Exit, prevailing

ENDED = {Step.MAKE: "not made", Step.SEND: "not sent", Step.RECEIVE: "not received"}
FORMS = {
    "application/vnd.oci.image.index.v1+json": "an index",
    "application/vnd.oci.image.manifest.v1+json": "a manifest",
    "application/vnd.docker.distribution.manifest.list.v2+json": "a list of Docker's",
    "application/vnd.docker.distribution.manifest.v2+json": "a manifest of Docker's",
}
ABOUT = (
    "Each image holds the same checkpoint, but for containerd's, which is of a container of its own. It is restored on "
    "another machine, and judged by what the restored workload says. Counted are the annotations, by where they sit, "
    "that are still there and the same where the image arrives, and before, if it was more on its last station in the "
    "registry. Where an engine declines an image, the archive in it is restored instead, to see whether what was "
    "refused would have worked."
)
ABOUT_BASE = (
    "The same images, where the machine that restores does not have the image that the container was made from: it can "
    "pull it, cannot find it, or has another one of the same name."
)


class Entry(Frozen):
    """What became of an image, in short lines."""

    outcome: Outcome
    lines: tuple[str, ...] = Field(description="the telling ones first")
    as_expected: bool


class ImageTable(Frozen):
    """Images by what they went through; null where nothing was tried."""

    title: str
    about: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry | None, ...]], ...]


def tables(paths: Sequence[ImagePath]) -> tuple[ImageTable, ...]:
    """Lay out, stack by stack, a table of all ways, and one of the states of the base image."""
    found = []
    for stack in dict.fromkeys(path.stack for path in paths):
        own = [path for path in paths if path.stack == stack]
        present = [path for path in own if path.base is Base.PRESENT]
        others = [path for path in own if path.base is not Base.PRESENT]
        found.append(_table(f"checkpoint images in {stack}", ABOUT, "way", present, by_base=False))
        if others:
            title = f"checkpoint images in {stack} without their base image"
            found.append(_table(title, ABOUT_BASE, "base image", others, by_base=True))
    return tuple(found)


def _table(title: str, about: str, corner: str, paths: Sequence[ImagePath], *, by_base: bool) -> ImageTable:
    columns = tuple(dict.fromkeys(path.producer for path in paths))
    by_column = {
        column: [_row(each, by_base=by_base) for each in paths if each.producer == column] for column in columns
    }
    rows = dict.fromkeys(row for listed in sorted(by_column.values(), key=len, reverse=True) for row in listed)
    at = {(_row(path, by_base=by_base), path.producer): path for path in paths}
    return ImageTable(
        title=title,
        about=about,
        corner=corner,
        columns=columns,
        rows=tuple(
            (row, tuple(_entry(at[row, column]) if (row, column) in at else None for column in columns)) for row in rows
        ),
    )


def _row(path: ImagePath, *, by_base: bool) -> str:
    return path.base.value if by_base else path.route


def _entry(path: ImagePath) -> Entry:
    first = path.attempts[0]
    lines = [ENDED[first.step]] if first.step in ENDED and first.refusal else []
    if path.base is Base.PRESENT and first.step not in ENDED:
        lines += [*kept(path), *_digests(path.looks)]
    if first.refusal and path.base is not Base.PRESENT:
        lines += clarity(first.refusal)
    if first.on_changed_base:
        lines.append("on the other image, unnoticed")
    if first.step is Step.UNPACK:
        lines.append("as the archive in it")
    if len(path.attempts) > 1:
        second = path.attempts[1].verdict.outcome
        lines.append(f"the archive in it: {second.value}")
    return Entry(outcome=path.outcome, lines=tuple(lines), as_expected=path.as_expected)


def kept(path: ImagePath) -> Iterator[str]:
    """How many annotations are the same where the image arrived, by where they were when it was made."""
    if not path.looks:
        return
    made, sent, arrived = path.looks[0], path.looks[-2:][0], path.looks[-1]
    travelled = len(path.looks) > 2  # noqa: PLR2004  # made, in the registry, arrived
    for spot, told in made.annotations.items():
        there, before = (
            sum(look.annotations.get(spot, {}).get(key) == value for key, value in told.items())
            for look in (arrived, sent)
        )
        first = f", {before} before" if travelled and before != there else ""
        yield f"{spot.value} {there}/{len(told)}{first}"
    if arrived.media_type != made.media_type:
        yield f"now {FORMS.get(arrived.media_type, arrived.media_type)}"


def _digests(looks: Sequence[ImageFacts]) -> Iterator[str]:
    if len(looks) > 1:
        digests = [look.digest for look in looks]
        names = {digests[-1]: "other digest", digests[1]: "digest as sent", digests[0]: "digest as made"}
        yield names[digests[-1]] if len(looks) > 2 or digests[0] == digests[-1] else "other digest"  # noqa: PLR2004


def clarity(refusal: StepRefusal) -> Iterator[str]:
    """Whether a refusal came early, names the fact that differs, and left nothing."""
    yield "early" if refusal.early else "late"
    yield f"tells {', '.join(refusal.named)}" if refusal.named else "tells nothing of why"
    if refusal.left:
        yield f"left behind: {', '.join(refusal.left)}"


def findings(paths: Sequence[ImagePath]) -> Iterator[str]:
    """Tell of each producer what its image is, and what it says of its base image; then what was declined, and how."""
    for producer in dict.fromkeys(path.producer for path in paths):
        made = next((path for path in paths if path.producer == producer and path.looks), None)
        if made is not None:
            yield f"{producer}: {_form(made.looks[0])}; of its base image it tells {_base(paths, producer)}"
    said: dict[str, list[str]] = {}
    for stack in dict.fromkeys(path.stack for path in paths):
        every = (each for path in paths if path.stack == stack for each in path.components)
        yield f"{stack}: {', '.join(f'{each.name} {each.version}' for each in dict.fromkeys(every))}"
    for path in paths:
        attempt = path.attempts[0]
        if attempt.verdict.outcome is not Outcome.CONSISTENT:
            said.setdefault(_reason(attempt), []).append(path.id)
    for reason, ids in said.items():
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        yield f"{ids[0]}{more}: {reason}"


def _reason(attempt: Attempt) -> str:
    return f"{attempt.verdict.outcome.value}: {attempt.verdict.reason}"


def _form(look: ImageFacts) -> str:
    kind = f" ({look.artifact_type})" if look.artifact_type else ""
    return f"{look.media_type}{kind} of {', '.join(dict.fromkeys(look.parts))}"


def _base(paths: Sequence[ImagePath], producer: str) -> str:
    told = {fact for path in paths if path.producer == producer for fact in path.base_told}
    return ", ".join(sorted(fact.removesuffix(" of the base image") for fact in told)) or "nothing"


def unexpected(paths: Sequence[ImagePath]) -> tuple[ImagePath, ...]:
    """Those that are other than expected, better ones too."""
    return tuple(path for path in paths if not path.as_expected)


def exit_code(paths: Sequence[ImagePath]) -> Exit:
    """What they come to for a program: what was not tried leaves it incomplete, any other surprise is unexpected."""
    found = {Exit.INCOMPLETE if path.outcome in NO_EVIDENCE else Exit.UNEXPECTED for path in unexpected(paths)}
    return prevailing(found | {Exit.EXPECTED}) if paths else Exit.INCOMPLETE


def verdict(paths: Sequence[ImagePath]) -> str:
    """The conclusion as a sentence."""
    names = [path.id for path in unexpected(paths)]
    if not names:
        return f"all {len(paths)} ways of checkpoint images are as expected"
    return f"checkpoint images that are not as expected: {', '.join(names)}"
