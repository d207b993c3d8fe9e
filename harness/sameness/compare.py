"""Compare what the kernel tells of a source's container and of the restored one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.model.readings import Difference, Sameness
from harness.sameness.facts import FACTS, OF_THREAD, Facts, Key, workaround


def compared(source: Sequence[Facts], restored: Sequence[Facts], workarounds: Iterable[str] = ()) -> Sameness:
    """Compare the looks at a source with the looks at the restored container; at least one of each.

    What is not the same in all looks at one of them moves by itself, so nothing follows from its value in the other.
    `workarounds`: names of those that are in force.
    """
    old, moving_there = _still(source)
    now, moving_here = _still(restored)
    own = _processes(old)
    ended = own - _processes(now.keys() | moving_here)
    unread = {about: why for look in (*source, *restored) for about, why in look.unread.items()}
    asked = {
        key
        for key in (old.keys() | now.keys()) - moving_there - moving_here
        if key.process in own - ended and (key.process, key.fact) not in unread
    }
    told = [
        _difference(key, source[0].unnamed(before), restored[0].unnamed(after), tuple(workarounds))
        for key in sorted(asked, key=_place)
        for before, after in [(old.get(key, ""), now.get(key, ""))]
        if before != after and not (key.of.startswith(OF_THREAD) and "" in (before, after))  # `threads` counts them
    ]
    return Sameness(
        compared=len(asked),
        differences=tuple(each for each in told if each.before != each.after),
        uncompared=(*_unread(unread), *_ended(ended)),
    )


def _still(looks: Sequence[Facts]) -> tuple[dict[Key, str], set[Key]]:
    """Return the facts that are the same in all looks, and the keys of the others."""
    every = set[Key]().union(*(look.values for look in looks))
    first = looks[0].values
    moving = {key for key in every if any(look.values.get(key) != first.get(key) for look in looks)}
    return {key: value for key, value in first.items() if key not in moving}, moving


def _processes(keys: Iterable[Key]) -> set[int | None]:
    found: set[int | None] = {key.process for key in keys}
    return found | {None} if found else found


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
