"""Patterns of content that must not get into a record: secrets, environments, memory.

The form of the content is enough to recognise it, so the patterns apply to everything that is written or read. A
placeholder replaces the content and says what it was; a second pass does not change it, and line breaks stay. Texts
may be long and hostile: each repetition in a pattern is bounded or possessive, and a search goes on at the end of the
match before.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

SECRET, MEMORY, ADDRESS = "[secret]", "[memory]", "[address]"
SAID = frozenset({"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"})
"""Variables that stay in an environment: every container gets them, and the replay of a command needs them."""
LONGEST_DIGEST = 128
"""Hexadecimal digits of SHA-512; a longer number identifies nothing."""

SHORTEST_BLOB = 60
"""Characters in the shortest usual line of base64."""
PASSES = 4
"""Passes over a text while it still changes: a removed secret may have hidden another one."""
SHORT = 8 << 10
"""Characters of a text that is likely to come again: a word, or the specification of a container."""

_CUT = re.compile(r"\[(?:secret|memory|value of [^\]\n]*)\]")
_SILENT = frozenset({"", "null", "true", "false", "nil", "<nil>", "None"})

# ---- values, in whatever quotes

_QUOTES = re.compile(r"(\\*)\"")
_OPENING = re.compile(r"\\{0,8}[\"']")
_WORD = re.compile(r"\[value of [^\]\n]*+\]|(?:[^\s\"'&\\]|\\+(?![\"'\\]))*+")
_SHELL_STRING = re.compile(r"[^']*+(?:'\"'\"'[^']*+)*+")


def _end(text: str, start: int, quote: str) -> int:
    """Return the end of the string that begins at `start` after `quote`, at any depth of nested quoting."""
    if quote.endswith("'"):
        found = _SHELL_STRING.match(text, start)
        return found.end() if found else start
    slashes = len(quote) - 1
    for each in _QUOTES.finditer(text, start):
        if len(each[1]) % (2 * slashes + 2) == slashes:
            return each.end() - len(quote)
    return len(text)


def _value(text: str, start: int, quote: str | None) -> tuple[int, int]:
    """Return the start and end of a value: the text inside the quotes at or before `start`, else one word."""
    opening = None if quote else _OPENING.match(text, start)
    if opening:
        start, quote = opening.end(), opening[0]
    if quote:
        return start, _end(text, start, quote)
    word = _WORD.match(text, start)
    return start, start + len(word[0].rstrip(",;")) if word else start


Put = Callable[[re.Match[str], str], str]
"""Returns the placeholder for a value, given the match before it."""


def _cut(head: re.Pattern[str], put: Put, then: re.Pattern[str] | None, text: str) -> str:
    """Replace the value after each `head`, and after each `then` that follows directly."""
    done, at, found = [], 0, head.search(text)
    while found:
        start, end = _value(text, found.end(), found.groupdict().get("quote"))
        done += [text[at:start], put(found, text[start:end])]
        at = end
        found = (then.match(text, at) if then else None) or head.search(text, at)
    return "".join((*done, text[at:]))


def secret(value: str) -> str:
    """Return the placeholder for a secret value; return a value without information unchanged."""
    kept = value in _SILENT or _CUT.fullmatch(value)
    return value if kept else SECRET + "\n" * value.count("\n")


def assigned(name: str, value: str) -> str:
    """Return the placeholder for the value of a variable; kernel options (CONFIG_) stay."""
    kept = not value or f"{name}={value}" in SAID or name.startswith("CONFIG_") or _CUT.fullmatch(value)
    return value if kept else f"[value of {name}]" + "\n" * value.count("\n")


def _secret(_: re.Match[str], value: str) -> str:
    return secret(value)


def _assigned(found: re.Match[str], value: str) -> str:
    return assigned(found["name"], value)


# ---- environments

_NAMED = re.compile(
    r"[Ee][Nn][Vv](?<![A-Za-z]...)(?i:s|v|iron(?:ment)?s?)?\\{0,8}[\"']?\s{0,4}[:=]\s{0,4}(?:\[\]string)?(?=[\[{])"
)
_UNNAMED = re.compile(r"(?=\[\s{0,40}\\{0,8}[\"']?[A-Z_][A-Z0-9_]{0,60}=)")
_SIGN = re.compile(r"\\*\"|[\[\]{}]")
_GIVEN = re.compile(r"([A-Za-z_][\w.]{0,100})=")
_ANOTHER = re.compile(r"(\s)(?=[A-Za-z_][\w.]{0,100}=)")
_BREAK = re.compile(r"([\n\0])")


def _lists(head: re.Pattern[str], text: str) -> str:
    """Replace the values in environments and tables of variables, in JSON or as Go prints them, after each `head`."""
    done, at, found = [], 0, head.search(text)
    while found:
        start = found.end()
        end, strings = _extent(text, start)
        inner = text[start:end]
        done += [text[at:start], _strings(inner) if strings else _words(inner)]
        at, found = end, head.search(text, end)
    return "".join((*done, text[at:]))


def _extent(text: str, start: int) -> tuple[int, bool]:
    """Return the end of the brackets that begin at `start`, and whether they contain strings."""
    depth, at, strings = 0, start, False
    while sign := _SIGN.search(text, at):
        at = sign.end()
        if sign[0].endswith('"'):
            at, strings = _end(text, at, sign[0]) + len(sign[0]), True
        else:
            depth += 1 if sign[0] in "[{" else -1
            if not depth:
                return at, strings
    return len(text), strings


def _strings(inner: str) -> str:
    done, at, before = [], 0, ""
    while sign := _SIGN.search(inner, at):
        between, at = inner[at : sign.start()], sign.end()
        done += [between, sign[0]]
        if sign[0].endswith('"'):
            end = _end(inner, at, sign[0])
            done += [
                _variable(inner[at:end], before if between.strip() == ":" else ""),
                inner[end : end + len(sign[0])],
            ]
            before, at = inner[at:end], end + len(sign[0])
    return "".join((*done, inner[at:]))


def _words(inner: str) -> str:
    last = inner[-1:] if inner.endswith(("]", "}")) else ""
    return inner[:1] + "".join(map(_variable, _ANOTHER.split(inner[1 : len(inner) - len(last)]))) + last


def _lines(found: re.Match[str]) -> str:
    return "".join(map(_variable, _BREAK.split(found[0])))


def _variable(text: str, key: str = "") -> str:
    """Redact an assignment, or the value of `key`."""
    given = _GIVEN.match(text)
    if given:
        return given[0] + assigned(given[1], text[given.end() :])
    return assigned(key, text) if key else text


# ---- memory

_HEX = r"(?:0x)?(?:[0-9A-Fa-f]{2}){1,8}(?![0-9A-Za-z])"
_ROW = re.compile(
    rf"(?<![0-9A-Za-z])(?P<address>(?:0x)?[0-9A-Fa-f]{{4,16}}:?[ \t]{{1,3}})"
    rf"(?P<told>{_HEX}(?:(?:[ \t]{{1,2}}{_HEX}){{3,}}(?:[ \t]{{2,}}[^\n]*)?"
    rf"|(?:[ \t]{{1,2}}{_HEX}){{0,3}}[ \t]+\|[^\n]*))"
)
_BYTES = re.compile(rf"(?<![0-9A-Za-z])(?P<address>)(?P<told>{_HEX}(?:[ \t]{{1,2}}{_HEX}){{8,}})")
_DIGITS = re.compile(rf"(?<![0-9A-Fa-f])[0-9A-Fa-f]{{{LONGEST_DIGEST + 1},}}+")
_BASE64 = re.compile(rf"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{{{SHORTEST_BLOB},}}+={{0,2}}")
_NO_COUNT = re.compile(r"[0-9A-Fa-f]:|\b(?:0x)?(?:00\b|[0-9]*[A-Fa-f])|\|")


_SOME_HEX = re.compile(rf"[0-9A-Fa-f]:?[ \t]{{1,3}}{_HEX}")
_SOME_MAC = re.compile(r":[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}:")
_MAC = re.compile(r"(?<![\w:.-])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}(?![\w:])")


def _rows(text: str) -> str:
    """Redact rows of bytes or words of memory, with or without an address before them."""
    return _BYTES.sub(_row, _ROW.sub(_row, text)) if _SOME_HEX.search(text) else text


def _row(found: re.Match[str]) -> str:
    """Redact a row, unless it has decimal numbers only, which may be any list."""
    return f"{found['address']}{MEMORY}" if _NO_COUNT.search(found[0]) else found[0]


def _addresses(text: str) -> str:
    return _MAC.sub(ADDRESS, text) if _SOME_MAC.search(text) else text


def _blobs(text: str) -> str:
    return _BASE64.sub(_letters, _DIGITS.sub(MEMORY, text)) if len(text) >= SHORTEST_BLOB else text


def _letters(found: re.Match[str]) -> str:
    """Redact base64, which has many capital letters, but no path, which has few."""
    text = found[0]
    coded = 4 * sum(map(str.isupper, text)) >= len(text) and any(map(str.islower, text)) and any(map(str.isdigit, text))
    return MEMORY if coded else text


# ---- all of it


class Rule(NamedTuple):
    """A change that applies only to texts that contain one of `needles`, which are in lower case."""

    needles: tuple[str, ...]
    change: Callable[[str], str]


def _sub(pattern: str, by: str | Callable[[re.Match[str]], str]) -> Callable[[str], str]:
    return functools.partial(re.compile(pattern).sub, by)


def _behind(pattern: str, put: Put = _secret, then: str = "") -> Callable[[str], str]:
    return functools.partial(_cut, re.compile(pattern), put, re.compile(then) if then else None)


_QUOTE = r"(?P<quote>\\{0,8}[\"'])"
_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,100})="
_LOUD = r"(?P<name>[A-Z_][A-Z0-9_]{0,100})="
_MORE = rf"\\{{0,8}}[\"']?[ \t]{{1,4}}{_QUOTE}?{_NAME}"
_NEXT = r"\\{0,8}[\"']?(?:=|,?\s{1,4}(?!-))"
"""Separator between an option and its value, on a command line or in a list of words."""
_VARIABLE = r"(?:-e|--env|--build-arg)"
_OPTION = r"--?(?i:[a-z]{1,20}-){0,4}(?i:password|passphrase|pass|creds|credentials|token|secret)"
_KEY = (
    r"(?i)(?<!/)(?:passw(?:or)?d|passphrase|secret|token|credential|(?:api|access|private)[_-]?key|signature(?==)"
    r"|authorization|(?<![a-z])auth(?![a-z]))s?[\w.-]{0,40}\\{0,8}[\"']?\s{0,3}[:=][ \t]{0,3}"
    r"(?![\[{](?:[\s\"'\[\]{}\\]|\Z))"
)
_HEADER = (
    r"(?i)((?:authorization|cookie|(?<![\w-])x-[a-z-]{0,30}(?:token|key|auth|config))[ \t]{0,3}:[ \t]{0,3})"
    r"[^\s\"'\\][^\r\n\"'\\]*+"
)
_ISSUED = (
    r"(?<![\w-])(?:eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?|gh[a-z]_\w{30,}+|github_pat_\w{30,}+|glpat-[\w-]{20,}+"
    r"|xox[a-z]-[\w-]{10,}+|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{30,}+|npm_\w{30,}+|pypi-[\w-]{50,}+|dckr_[a-z]+_[\w-]{20,}+)"
    r"|\$(?:1|2[aby]|5|6|7|y|gy)\$[./A-Za-z0-9$,=]{20,}+"
)
_PASSWORDS = ("pass", "secret", "token", "cred")
_KEYS = ("api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "private_key", "private-key")
_TOKENS = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "npm_", "pypi-", "dckr_", "eyj")
_CLOUDS = ("akia", "asia", "aiza")
_CRYPTS = ("$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$7$", "$y$", "$gy$")

RULES = (
    Rule(
        ("-----begin",),
        _sub(
            r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
            lambda found: SECRET + "\n" * found[0].count("\n"),
        ),
    ),
    Rule((), _rows),
    Rule((), _blobs),
    Rule((" = ",), _sub(r"\b(\w{1,8} {0,7}= )[0-9A-Fa-f]{16}\b", rf"\1{MEMORY}")),
    Rule((":",), _addresses),
    Rule((*_TOKENS, *_CLOUDS, *_CRYPTS), _sub(_ISSUED, SECRET)),
    Rule(("://",), _sub(r"://[^\s/?#\"'<>\\]+@(?!sha\d)", f"://{SECRET}@")),
    Rule(("env",), functools.partial(_lists, _NAMED)),
    Rule(("[",), functools.partial(_lists, _UNNAMED)),
    # Variables: one per line, or as in /proc/PID/environ; before a command; as options of a command.
    Rule(("=",), _sub(r"(?<![^\n\0])(?:[A-Z_][A-Z0-9_]*+=[^\n\0]*+(?:[\n\0]|\Z)){3,}", _lines)),
    Rule(("=",), _behind(rf"(?m)(?:^[ \t]{{0,40}}|[;&|][ \t]{{0,3}}){_QUOTE}?{_LOUD}", _assigned, _MORE)),
    Rule(("env", "export", "sudo"), _behind(rf"\b(?:env|export|sudo)[ \t]{{1,4}}{_QUOTE}?{_NAME}", _assigned, _MORE)),
    Rule(("-e", "--build-arg"), _behind(rf"(?<![\w-]){_VARIABLE}{_NEXT}{_QUOTE}?{_NAME}", _assigned)),
    Rule(("-e", "--build-arg"), _behind(rf"{_QUOTE}{_VARIABLE}={_NAME}", _assigned)),
    # Headers; values of options; values whose name gives them away, in any notation.
    Rule(("authorization", "cookie", "x-"), _sub(_HEADER, rf"\1{SECRET}")),
    Rule(_PASSWORDS, _behind(rf"{_QUOTE}{_OPTION}=")),
    Rule(_PASSWORDS, _behind(rf"(?<![\w-]){_OPTION}{_NEXT}")),
    Rule((*_PASSWORDS, *_KEYS, "auth", "signature="), _behind(_KEY)),
    Rule(("curl", "wget"), _behind(r"\b(?:curl|wget)\b[^\n]{0,200}?[ \t](?:-[uU]|--user|--proxy-user)[ =]")),
    Rule(("login",), _behind(r"\blogin\b[^\n]{0,200}?[ \t]-p[ =]")),
)
_NEEDLES = frozenset(needle for rule in RULES for needle in rule.needles)
_IS_SECRET, _IS_VARIABLE = re.compile(_OPTION), re.compile(_VARIABLE)
_CREDENTIALS = {"curl": ("-u", "--user", "-U", "--proxy-user"), "login": ("-p",)}
"""Options that take a password, by the command before them."""


def without(text: str) -> str:
    """Return the text with all secrets, variables and memory replaced by placeholders."""
    return _remembered(text) if len(text) <= SHORT else _without(text)


@functools.lru_cache(maxsize=1 << 12)
def _remembered(text: str) -> str:
    return _without(text)


def _without(text: str) -> str:
    for _ in range(PASSES):
        small, new = text.lower(), text
        there = {needle for needle in _NEEDLES if needle in small}
        for rule in RULES:
            if not rule.needles or not there.isdisjoint(rule.needles):
                new = rule.change(new)
        if new == text:
            break
        text = new
    return text


def line(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command, redacted; the word before may show that a word is secret."""
    credentials = {option for word in words[:3] for option in _CREDENTIALS.get(word.rpartition("/")[2], ())}
    env = bool(words) and words[0].rpartition("/")[2] == "env"
    for before, word in zip(("", *words), words, strict=False):
        option = before if before.startswith("-") and not word.startswith("-") else ""
        env = env and (not before or word.startswith("-") or "=" in word)
        if option and (option in credentials or _IS_SECRET.fullmatch(option)):
            yield secret(word)
        elif env or (option and _IS_VARIABLE.fullmatch(option)):
            yield without(_variable(word))
        else:
            yield _option(word) if word.startswith("-") and "=" in word else without(word)


def _option(word: str) -> str:
    option, _, value = word.partition("=")
    if _IS_SECRET.fullmatch(option):
        return f"{option}={secret(value)}"
    return without(f"{option}={_variable(value)}" if _IS_VARIABLE.fullmatch(option) else word)
