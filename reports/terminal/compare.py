"""A comparison of two runs on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from reports.analysis.compare import FOR_THE_WORSE, MEANINGS, CellDifference, Comparison
from reports.analysis.tables import counted
from reports.text import one_line
from reports.words.numbers import p_value


def lines(comparison: Comparison) -> Iterator[str]:
    """Yield the differences, the worst first, and the verdict last."""
    yield f"before: {comparison.before}, after: {comparison.after}"
    differing = {each.cell.id: each for each in comparison.cells}
    for finding in comparison.findings:
        yield f"{finding.kind} ({MEANINGS[finding.kind]}): {one_line(finding.sentence)}"
        yield from (f"  {one_line(_told(differing[cell]))}" for cell in finding.cells)
    for changed, participants in comparison.upgrades:
        yield f"versions: {one_line(changed)}: {one_line(', '.join(participants))}"
    if comparison.added:
        yield f"only in the second run: {counted(len(comparison.added), 'cell')}"
    tested = sum(each.p is not None for each in comparison.cells)
    yield (
        f"rates: Fisher's exact test of {counted(tested, 'cell')}; a rate differs if p, adjusted for all cells "
        f"(Benjamini and Hochberg), is below {comparison.level:g}"
    )
    alike = sum(each.kind is None for each in comparison.cells)
    worse = counted(len(comparison.regressions), "regression")
    verdict = f"{worse}, {alike} of {counted(len(comparison.cells), 'cell')} unchanged"
    yield f"verdict: {verdict} (exit code {comparison.exit_code.value})"


def _told(each: CellDifference) -> str:
    tested = f"; p {p_value(each.p)}, adjusted {p_value(each.adjusted_p)}" if each.p is not None else ""
    allowed = "; within its expected rate" if each.kind in FOR_THE_WORSE and not each.regression else ""
    return f"{each.cell.id}: {each.before} -> {each.after}{tested}{allowed}"
