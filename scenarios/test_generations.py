"""Can a restored container be checkpointed again? Three generations, each a live checkpoint of the previous one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from harness.model.cells import Cell, Scenario
from harness.model.outcomes import Outcome
from harness.oracle.judge import Check, judge
from harness.runtimes.contract import Container
from harness.trial.source import Source
from harness.trial.trial import Trial

GENERATIONS = 3
DIFFERS = frozenset({Check.SAME_CONTAINER})
"""A generation that is not the same container is followed by the next one."""

pytestmark = pytest.mark.scenario(Scenario.GENERATIONS)


class Generations(Trial):
    """Each restored container is the source of the next one, and runs on beside it."""

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Go on while each generation is good; the evidence is that of the last one."""
        for generation in range(1, GENERATIONS + 1):
            super().experiment(source, acquired)
            verdict = judge(self.evidence, DIFFERS)
            self.log += (f"generation {generation} of {GENERATIONS}: {verdict.outcome}: {verdict.reason}",)
            if verdict.outcome not in (Outcome.CONSISTENT, Outcome.NOT_CAPTURED) or generation == GENERATIONS:
                return
            source = self._heir(source.nonce)
            self.evidence = self.new_evidence()

    def restore(self, *arguments: object) -> Container:
        """Restore, and keep the container as the next source."""
        self._clone = super().restore(*arguments)  # type: ignore[arg-type]
        return self._clone

    def _heir(self, nonce: str) -> Source:
        heir = self.bench.adopt(self._clone, nonce)
        heir.tick_after(0)
        return heir


def test_generations(cell: Cell, check: Callable[..., None]) -> None:
    """The third generation is as consistent as the first."""
    check(cell, Generations)
