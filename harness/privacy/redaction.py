"""Redaction of records: secrets and memory, and the names of a machine and its users.

Secrets and memory are recognised by their form (`patterns`), and removed from each record that is written or read.
Names are known only where a record is made. They are removed as whole words, but stay in the identity of a cell, a
stack or a version.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar, get_args

from harness.model.cells import FreezePolicy, Scenario, SurfaceKind
from harness.model.commands import Command
from harness.model.outcomes import Anomaly, Outcome, Stage
from harness.model.values import Frozen
from harness.privacy import patterns

HOST, USER, MACHINE, HOME, CODE = "[host]", "[user]", "[machine]", "~", "[stillframe]"
SUPERUSER_HOME = "/root"
FEWEST_LETTERS = 3
"""Letters of the shortest name that is removed; a shorter one identifies nobody and is part of many words."""
BELOW_HOME = "/home/"


def _these(words: str) -> frozenset[str]:
    return frozenset(words.split())


IDENTITIES = _these(
    "run cell cells control controls expectation expectations conditional fewer words settings schedule stage "
    "components name version nonce witness surface surfaces stack producer route base where digest media_type "
    "artifact_type parts architecture cgroups"
)
"""Fields that hold our own words, or identities: names stay in them."""
SPELLED = _these("cwd write_path write_text")
"""Fields of a command that a reader pastes, besides its words."""

ORDINARY = _these(
    "admin alpine arch centos checkpoints clone cloud code container containerd containers cri crio criu crun data "
    "debian default docker fedora file gvisor guest heard home host image images key linux local localdomain localhost "
    "log lower machine max memory mount node nobody none null path podman pod pods proc process registry report root "
    "rootfs run runc runner runsc secret server service shared socket source stillframe sudo sys system systemd task "
    "test tester time tmp ubuntu upper user users vagrant value var work worker workload"
) | {
    word
    for names in (Outcome, Anomaly, Stage, FreezePolicy, SurfaceKind, Scenario)
    for name in names
    for word in name.split("-")
}
"""Words of reports, and usual names of machines and accounts: as names they identify nobody."""

T = TypeVar("T", bound=Frozen)


@dataclass(frozen=True)
class Redaction:
    """A redaction of values: it always removes secrets and memory, and also the names that it knows."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Placeholders by name in lower case."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Placeholders by path; if there are any, `~` also replaces every folder directly below /home."""

    @classmethod
    def knowing(
        cls, names: Mapping[str, Iterable[str]], folders: Mapping[str, str], *, spared: Collection[str] = ()
    ) -> Redaction:
        """Return a redaction that knows `names` by placeholder; names that are `spared` or ordinary words stay."""
        kept = {*ORDINARY, *(word.lower() for word in spared)}
        every = ((name.lower(), word) for word, several in names.items() for name in several)
        return cls(
            names={
                name: word
                for name, word in every
                if len(name) >= FEWEST_LETTERS and not name.isdecimal() and name not in kept
            },
            folders={path: word for path, word in folders.items() if path == SUPERUSER_HOME or path.count("/") > 1},
        )

    def of(self, value: T) -> T:
        """Return the value redacted at any depth; return the value itself if there is nothing to redact."""
        return self.part(value)  # type: ignore[no-any-return]

    def field(self, name: str, content: Any) -> Any:
        """Redact the content of one field of a value."""
        return self._field(name, content, self) if content else content

    def part(self, value: Any) -> Any:
        """Redact a part of a value: a tuple, a value, a dictionary or a text."""
        if isinstance(value, tuple):
            return self._several(value)
        if isinstance(value, Frozen):
            return self._fields(value)
        if isinstance(value, dict):
            new = {self.text(name): self.part(each) for name, each in value.items()}
            return value if all(map(operator.is_, new.values(), value.values())) and new.keys() == value.keys() else new
        return self.text(value) if type(value) is str else value

    def text(self, text: str) -> str:
        """Redact a text."""
        new = patterns.without(self._without_names(text) if self._signs else text)
        return text if new == text else new

    def line(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Redact the words of a command."""
        new = tuple(patterns.line([self._without_names(word) for word in words]))
        return words if new == words else new

    def _fields(self, value: Frozen) -> Frozen:
        pasted = self._in_node if isinstance(value, Command) and value.where != "host" else self
        there = ((name, getattr(value, name)) for name in _with_texts(type(value)))
        new = {name: now for name, old in there if old and (now := self._field(name, old, pasted)) is not old}
        return value.model_copy(update=new) if new else value

    def _field(self, name: str, value: Any, pasted: Redaction) -> Any:
        if name == "argv":
            return pasted.line(value)
        who = FORMS if name in IDENTITIES else pasted if name in SPELLED else self
        return who.text(value) if type(value) is str else who.part(value)

    @cached_property
    def _in_node(self) -> Redaction:
        """The redaction for text that a reader pastes into a node, whose superuser has a home of the same path."""
        return Redaction(self.names, {path: word for path, word in self.folders.items() if path != SUPERUSER_HOME})

    def _several(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if all(type(each) is str for each in values):
            return self._lines(values)
        new = tuple(map(self.part, values))
        return values if all(map(operator.is_, new, values)) else new

    def _lines(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Redact texts as one, since a secret may begin in one text and end in another."""
        joined = "\n".join(texts)
        lines = iter(self.text(joined).split("\n"))
        new = tuple("\n".join(islice(lines, each.count("\n") + 1)) for each in texts)
        return texts if new == texts else new

    def _without_names(self, text: str) -> str:
        small = text.lower()
        return self._known.sub(self._word, text) if any(each in small for each in self._signs) else text

    @cached_property
    def _signs(self) -> tuple[str, ...]:
        """Lower-case texts; any text with a name contains one of them."""
        return (*self.names, *map(str.lower, self.folders), *([BELOW_HOME] if self.folders else []))

    @cached_property
    def _known(self) -> re.Pattern[str]:
        hosts = _any(name for name, word in self.names.items() if word == HOST)
        others = _any(name for name, word in self.names.items() if word != HOST)
        return re.compile(
            rf"(?<![\w.~\]-])(?P<folder>{_any(self.folders)})(?![\w.-])"
            rf"|(?P<home>{BELOW_HOME}[^~/\s\"':;,)\]}}>\[]+)"
            rf"|(?<![A-Za-z0-9_])(?P<host>(?i:{hosts})(?![A-Za-z0-9_])(?:\.[A-Za-z0-9-]+)*)"
            rf"|(?<![A-Za-z0-9_])(?P<name>(?i:{others}))(?![A-Za-z0-9_])"
        )

    def _word(self, found: re.Match[str]) -> str:
        kind, text = found.lastgroup, found[0]
        if kind == "name":
            return self.names[text.lower()]
        if kind == "home":  # a home folder, or the end of a longer path
            return HOME if _BEGINS.match(found.string, found.start()) else f"{BELOW_HOME}{USER}"
        return self.folders[text] if kind == "folder" else HOST


_BEGINS = re.compile(r"(?<![\w.~\]-])")


def _any(words: Iterable[str]) -> str:
    """Return a pattern that matches any of the words, the longest first; without words it matches nothing."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or "(?!)"


@functools.cache
def _with_texts(kind: type[Frozen]) -> tuple[str, ...]:
    """Return the fields that may hold texts; most fields of a record hold numbers or words of a fixed set."""
    return tuple(name for name, field in kind.model_fields.items() if _may_hold_text(field.annotation))


def _may_hold_text(kind: Any) -> bool:
    parts = get_args(kind)
    if parts:
        return any(map(_may_hold_text, parts))
    if isinstance(kind, type) and issubclass(kind, Frozen):
        return bool(_with_texts(kind))
    return not (isinstance(kind, type) and issubclass(kind, int | float | Enum | date | type(None)))


FORMS = Redaction()
"""The redaction that knows no names: it removes secrets and memory alone."""
