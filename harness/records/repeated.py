"""Equal parts of many values, each kept in memory once: a million records have few hosts, versions and verdicts."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

from harness.model.values import Frozen

MOST_KEPT = 10_000

T = TypeVar("T", bound=Frozen)


def _as_it_is(_: str, part: Any) -> Any:
    return part


class Repeated(Generic[T]):
    """A reader of one kind of value that shares equal parts; it forgets them when there are too many."""

    def __init__(
        self,
        kind: type[T],
        names: Collection[str],
        *,
        without: Collection[str] = (),
        fit: Callable[[str, Any], Any] = _as_it_is,
    ) -> None:
        """`names`: fields that are often equal; `without`: fields to leave out; `fit` changes a field's new values."""
        self.kind, self.names, self.without, self.fit = kind, names, without, fit
        self._kept: dict[tuple[str, bytes], object] = {}
        self._fields: dict[type[Frozen], set[str]] = {}

    def read(self, raw: dict[str, Any]) -> T:
        """Read a JSON object like `model_validate`, but share equal parts; changes `raw`."""
        for name in self.without:
            raw.pop(name, None)
        keys = [(name, marshal.dumps(raw[name], 2)) for name in self.names if name in raw]
        known = {key[0]: self._kept[key] for key in keys if key in self._kept}
        raw.update(known)
        value = self.kind.model_validate(raw)
        parts = vars(value)
        parts.update(known)  # pydantic copies parts that are not models
        fresh = {name: self.fit(name, part) for name, part in parts.items() if name not in known}
        parts.update(fresh)
        self._slim(value, *fresh.values())
        if len(self._kept) > MOST_KEPT:
            self._kept.clear()
        self._kept.update((key, parts[key[0]]) for key in keys if key[0] not in known)
        return value

    def _slim(self, *parts: object) -> None:
        """Share pydantic's sets of fields that were set: each is larger than most values, and nothing reads them."""
        for part in parts:
            if isinstance(part, Frozen):
                kind = type(part)
                if kind not in self._fields:
                    self._fields[kind] = set(kind.model_fields)
                object.__setattr__(part, "__pydantic_fields_set__", self._fields[kind])
            elif isinstance(part, tuple) and part:
                self._slim(*part)
