"""What the tests of several scenarios need."""

from __future__ import annotations

import pytest

from harness.trial.source import Source
from harness.trial.trial import Trial


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """The ordinary experiments that follow."""
    done: list[Source] = []
    monkeypatch.setattr(Trial, "experiment", lambda _, source, __: done.append(source))
    return done
