"""Compare what the kernel tells of a source's container and of the restored one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.model.readings import Difference, Sameness
from harness.sameness.facts import FACTS, OF_THREAD, Facts, Key, workaround


def compared(before: Facts, after: Facts, restored: Facts, workarounds: Iterable[str] = ()) -> Sameness:
    """Compare the source with the restored container.

    `before`, `after`: the source before and after its checkpoint. What changed between them moves by itself, so
    nothing follows from its value in the restored container. `workarounds`: names of those that are in force.
    """
    still = {key: value for key, value in before.values.items() if after.values.get(key) == value}
    moving = (before.values.keys() | after.values.keys()) - still.keys()
    own = _processes(still)
    ended = own - _processes(restored.values)
    unread = {**before.unread, **after.unread, **restored.unread}
    new = {key for key in restored.values.keys() - moving if key.process in own}
    asked = {key for key in still.keys() | new if key.process not in ended and (key.process, key.fact) not in unread}
    told = [
        _difference(key, before.unnamed(old), restored.unnamed(now), tuple(workarounds))
        for key in sorted(asked, key=_place)
        for old, now in [(still.get(key, ""), restored.values.get(key, ""))]
        if old != now and not (key.of.startswith(OF_THREAD) and "" in (old, now))  # `threads` counts them
    ]
    return Sameness(
        compared=len(asked),
        differences=tuple(each for each in told if each.before != each.after),
        uncompared=(*_unread(unread), *_ended(ended)),
    )


def _processes(values: Mapping[Key, str]) -> set[int | None]:
    return {key.process for key in values} | ({None} if values else set())


def _unread(unread: Mapping[tuple[int | None, str], str]) -> Iterator[str]:
    for (process, fact), why in unread.items():
        yield f"{fact}{'' if process is None else f' of process {process}'}: {why}"


def _ended(processes: set[int | None]) -> Iterator[str]:
    for number in sorted(number for number in processes if number is not None):
        yield f"process {number} of the source: the restored container has none of this number"


def _place(key: Key) -> tuple[int, int, str]:
    return list(FACTS).index(key.fact), key.process or 0, key.of


def _difference(key: Key, before: str, after: str, workarounds: tuple[str, ...]) -> Difference:
    fact = FACTS[key.fact]
    return Difference(
        aspect=fact.aspect,
        process=key.process,
        fact=str(key),
        before=before,
        after=after,
        weaker=fact.weaker(before, after),
        workaround=workaround(key, workarounds),
    )
