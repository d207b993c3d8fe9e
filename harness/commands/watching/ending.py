"""The end of a run: its report is written, and told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.run.flags import OUT
from reports.analysis.tables import RunSummary
from reports.formats import report as write
from reports.terminal import terminal


def write_report(run: RunSummary, folder: Path) -> Path:
    """Write the report into the folder of the run; gives its first page."""
    page = write.write_summary(run, folder / write.SITE)
    write.add_to_step_summary(page.with_name(write.MARKDOWN).read_text(encoding="utf-8"))
    return page


def tell(run: RunSummary, page: Path | None, out: Path, *, verbose: bool) -> None:
    """Print the end of a run in the folder `out`."""
    terminal.show_run(run, page=page, options=found_by(out), verbose=verbose)


def found_by(out: Path) -> Sequence[str]:
    """Return the options by which `stillframe show` finds a run below `out`."""
    return () if out.absolute() == OUT[1]["default"].absolute() else ("--out", str(out))
