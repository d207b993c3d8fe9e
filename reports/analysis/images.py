"""Tables of checkpoint images: what survives each way, what restores, and how refusals name the base image. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.image_path import Attempt, Base, ImageFacts, ImagePath, Step, StepRefusal
from reports.analysis.cells import NO_EVIDENCE, prevailing

ENDED = {Step.MAKE: "not made", Step.SEND: "not sent", Step.RECEIVE: "not received"}
FORMS = {
    "application/vnd.oci.image.index.v1+json": "an index",
    "application/vnd.oci.image.manifest.v1+json": "a manifest",
    "application/vnd.docker.distribution.manifest.list.v2+json": "a Docker manifest list",
    "application/vnd.docker.distribution.manifest.v2+json": "a Docker manifest",
}
ABOUT = (
    "All images except containerd's hold the same checkpoint; containerd's holds a checkpoint of its own container. "
    "Each image is restored on another machine, and the restored workload decides the outcome. An entry counts, for "
    "each part of the image, the annotations that arrive unchanged. If more or fewer were unchanged in the registry, "
    "it says so. If an engine declines an image, the archive in the image is restored instead: this shows whether the "
    "restore would have worked."
)
ABOUT_BASE = (
    "The same images on a machine without the base image, from which the container was made: the machine can pull the "
    "base image, cannot find it, or has another image with the same name."
)


class Entry(Frozen):
    """The result of one image, in short lines."""

    outcome: Outcome
    lines: tuple[str, ...] = Field(description="the most important lines first")
    as_expected: bool


class ImageTable(Frozen):
    """Images by their way; null where nothing was tried."""

    title: str
    about: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry | None, ...]], ...]


def tables(paths: Sequence[ImagePath]) -> tuple[ImageTable, ...]:
    """Return, for each stack, a table of all ways and a table of the states of the base image."""
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
        lines.append("restored on the wrong base image, without a warning")
    if first.step is Step.UNPACK:
        lines.append("from the archive in the image")
    if len(path.attempts) > 1:
        second = path.attempts[1].verdict.outcome
        lines.append(f"archive in the image: {second.value}")
    return Entry(outcome=path.outcome, lines=tuple(lines), as_expected=path.as_expected)


def kept(path: ImagePath) -> Iterator[str]:
    """Count the annotations that arrived unchanged, for each part of the image."""
    if not path.looks:
        return
    made, sent, arrived = path.looks[0], path.looks[-2:][0], path.looks[-1]
    travelled = len(path.looks) > 2  # noqa: PLR2004  # made, in the registry, arrived
    for spot, told in made.annotations.items():
        there, before = (
            sum(look.annotations.get(spot, {}).get(key) == value for key, value in told.items())
            for look in (arrived, sent)
        )
        first = f", {before} in the registry" if travelled and before != there else ""
        yield f"{spot.value} {there}/{len(told)}{first}"
    if arrived.media_type != made.media_type:
        yield f"now {FORMS.get(arrived.media_type, arrived.media_type)}"


def _digests(looks: Sequence[ImageFacts]) -> Iterator[str]:
    if len(looks) > 1:
        digests = [look.digest for look in looks]
        names = {digests[-1]: "other digest", digests[1]: "digest as sent", digests[0]: "digest as made"}
        yield names[digests[-1]] if len(looks) > 2 or digests[0] == digests[-1] else "other digest"  # noqa: PLR2004


def clarity(refusal: StepRefusal) -> Iterator[str]:
    """Say whether a refusal is early, names the differing fact, and left something behind."""
    yield "early" if refusal.early else "late"
    yield f"mentions {', '.join(refusal.named)}" if refusal.named else "gives no cause"
    if refusal.left:
        yield f"left behind: {', '.join(refusal.left)}"


def findings(paths: Sequence[ImagePath]) -> Iterator[str]:
    """Describe the image of each producer and its facts about the base image; then versions and failures."""
    for producer in dict.fromkeys(path.producer for path in paths):
        made = next((path for path in paths if path.producer == producer and path.looks), None)
        if made is not None:
            yield f"{producer}: {_form(made.looks[0])}; facts about the base image: {_base(paths, producer)}"
    said: dict[str, list[str]] = {}
    for stack in dict.fromkeys(path.stack for path in paths):
        every = (each for path in paths if path.stack == stack for each in path.components)
        yield f"{stack}: {', '.join(map(str, dict.fromkeys(every)))}"
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
    return ", ".join(sorted(fact.removesuffix(" of the base image") for fact in told)) or "none"


def unexpected(paths: Sequence[ImagePath]) -> tuple[ImagePath, ...]:
    """Return the images that are better or worse than expected."""
    return tuple(path for path in paths if not path.as_expected)


def exit_code(paths: Sequence[ImagePath]) -> Exit:
    """Return the exit code: `INCOMPLETE` for images without evidence, `UNEXPECTED` for any other unexpected image."""
    found = {Exit.INCOMPLETE if path.outcome in NO_EVIDENCE else Exit.UNEXPECTED for path in unexpected(paths)}
    return prevailing(found | {Exit.EXPECTED}) if paths else Exit.INCOMPLETE


def verdict(paths: Sequence[ImagePath]) -> str:
    """The conclusion as a sentence."""
    names = [path.id for path in unexpected(paths)]
    if not names:
        return f"checkpoint images: {len(paths)} of {len(paths)} as expected"
    return f"checkpoint images not as expected: {', '.join(names)}"
