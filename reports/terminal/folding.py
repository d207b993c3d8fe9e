"""Words on a terminal: where a line may be folded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.text import Text

from reports.text import one_line, unbroken


def folded(text: str, width: int, style: str = "") -> Text:
    """Fold at blanks, and long words also before `@` and after hyphens; keep a number and its unit together."""
    lines = [""]
    for word in unbroken(text).split(" "):
        gap = " " if lines[-1] else ""
        for piece in _pieces(word, width):
            if lines[-1] and len(lines[-1] + gap + piece) > width:
                lines.append(piece)
            else:
                lines[-1] += gap + piece
            gap = ""
    return Text("\n".join(map(one_line, lines)), style=style)


def longest_piece(text: str) -> int:
    """Return the width of the longest piece of a text that is not folded."""
    return max(len(piece) for word in unbroken(text).split(" ") for piece in _pieces(word, 0))


def _pieces(word: str, width: int) -> Iterator[str]:
    for part in [word] if len(word) <= width else re.split(r"(?<=.)(?=@)", word):
        yield from [part] if len(part) <= width else re.split(r"(?<=-)(?=.)", part)
