"""The run as Markdown, for step summaries and issues."""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports import phrases
from reports.tables import RunSummary

_ACTIVE = re.compile(r"[\\`*\[\]~]|(?<![^\W_])_|_(?![^\W_])")


def render(run: RunSummary) -> str:
    """Lay the run out; every value that the template prints is escaped, whether it asks for that or not."""
    environment = Environment(  # noqa: S701 - HTML is escaped by `escape`, with what Markdown needs besides
        loader=PackageLoader("reports"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=escape,
        keep_trailing_newline=True,
    )
    return environment.get_template("run.md.j2").render(run=run, by_id=run.by_id, phrases=phrases)


def escape(value: object) -> str:
    """One line of text that Markdown shows as it is: no markup, no HTML, no end of a table cell."""
    text = phrases.one_line(str(value)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _ACTIVE.sub(r"\\\g<0>", text).replace("|", "&#124;")
