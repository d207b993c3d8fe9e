"""A comparison of two runs on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from reports.analysis.compare import MEANINGS, CellDifference, Comparison
from reports.text import clean, counted, one_line
from reports.words.cells import brief
from reports.words.numbers import p_value
from reports.words.suggestion import declaring


def lines(comparison: Comparison) -> Iterator[str]:
    """Yield the differences, the worst first, and the verdict last."""
    yield f"before: {one_line(comparison.before)}, after: {one_line(comparison.after)}"
    if comparison.before == comparison.after:
        yield "Both are copies of the same run, so the newest copy is compared with itself."
    yield from comparison.unfinished
    differing = {each.cell.id: each for each in comparison.cells}
    for finding in comparison.findings:
        yield f"{finding.kind} ({MEANINGS[finding.kind]}): {one_line(finding.sentence)}"
        yield from (f"  {one_line(_told(differing[cell]))}" for cell in finding.cells)
    if declaration := declaring(comparison):
        yield "To declare what shows sometimes, complete these lines in scenarios/expectations/NAME.toml:"
        yield from (f"  {clean(line)}".rstrip() for line in declaration.splitlines())
    for changed, participants in comparison.upgrades:
        yield f"versions: {one_line(changed)}: {one_line(', '.join(participants))}"
    for which, cells in (("first", comparison.left_out), ("second", comparison.added)):
        if cells:
            yield f"only in the {which} run: {counted(len(cells), 'cell')}"
    tested = sum(each.p is not None for each in comparison.cells)
    yield (
        f"rates: Fisher's exact test of {counted(tested, 'cell')}; a rate differs if p, adjusted for all cells "
        f"(Benjamini and Hochberg), is below {comparison.level:g}"
    )
    alike = sum(each.kind is None and each.before.outcome == each.after.outcome for each in comparison.cells)
    lacking = sum(each.before.outcome is None and each.after.outcome is not None for each in comparison.cells)
    worse = counted(len(comparison.regressions), "regression")
    verdict = f"{worse}, {alike} of {counted(len(comparison.cells), 'cell')} unchanged"
    verdict += f", {lacking} without a result before" if lacking else ""
    yield f"verdict: {verdict} (exit code {comparison.exit_code.value})"


def _told(each: CellDifference) -> str:
    tested = f"; p {p_value(each.p)}, adjusted {p_value(each.adjusted_p)}" if each.p is not None else ""
    told = f"{each.cell.id}: {each.before} -> {each.after}{tested}"
    if each.pooled is None:
        return told
    known = f"; known issue: {each.known}" if each.known else ""
    return f"{told}; together: {each.pooled.outcome} {brief(each.pooled)}{known}"
