"""The run as Markdown, for step summaries and issues."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.image_path import ImagePath
from reports import images, known, phrases
from reports.tables import RunSummary

_ACTIVE = re.compile(r"[\\`*\[\]~]|(?<![^\W_])_|_(?![^\W_])")


def render(run: RunSummary) -> str:
    """Lay the run out; every value that the template prints is escaped, whether it asks for that or not."""
    template = _environment().get_template("run.md.j2")
    return template.render(run=run, by_id=run.by_id, images=images, known=known, phrases=phrases)


def render_images(paths: Sequence[ImagePath]) -> str:
    """Lay out checkpoint images."""
    return _environment().get_template("images.md.j2").render(images=images, paths=paths, phrases=phrases)


def _environment() -> Environment:
    return Environment(  # noqa: S701 - HTML is escaped by `escape`, with what Markdown needs besides
        loader=PackageLoader("reports"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=escape,
        keep_trailing_newline=True,
    )


def escape(value: object) -> str:
    """One line of text that Markdown shows as it is: no markup, no HTML, no end of a table cell."""
    text = phrases.one_line(str(value)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _ACTIVE.sub(r"\\\g<0>", text).replace("|", "&#124;")
