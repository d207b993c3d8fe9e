"""Crashes of one component that may strike any trial that it has a part in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from pydantic import Field, field_validator

from harness.model.invalid import fault, regular_expression
from harness.model.known.signatures import LINK, SPELLED, interval, matches, selective
from harness.model.machine import Component
from harness.model.values import Frozen


class Crash(Frozen):
    """A known crash of one component, which may strike any trial that the component has a part in."""

    model_config = SPELLED

    component: str = Field(min_length=1, description="name of a component, as in the records: `runsc`")
    versions: tuple[str, ...] = Field(min_length=1, description="versions that crash, as in the records")
    signature: str = Field(min_length=1, description="regular expression that the reason or the log must match")
    rate: tuple[float, float] = Field(
        description="low and high, 0 <= low < high < 1: share of the component's trials that it strikes"
    )
    reason: str = Field(description="why it crashes, as a sentence")
    link: str = Field(pattern=LINK, description="upstream discussion or documentation")
    owner: str = Field(min_length=1, description="who has to act: a project, or the maintainer of this entry")
    added: dt.date
    review_by: dt.date = Field(description="day of the next review; later the declaration is overdue")
    overdue: bool = Field(default=False, description="the day of review is past")
    declared: str = Field(default="", description="file and lines of the declaration")

    _pattern = field_validator("signature")(regular_expression)
    _selective = field_validator("signature")(selective)

    @field_validator("rate")
    @classmethod
    def _seldom(cls, rate: tuple[float, float]) -> tuple[float, float]:
        interval(rate)
        if rate[1] == 1:
            raise fault("a crash that may strike every trial hides all others. Write the highest rate that was seen")
        return rate

    def concerns(self, components: Iterable[Component]) -> bool:
        """Return whether one of `components` is of a version that crashes."""
        return any(each.name == self.component and each.version in self.versions for each in components)

    def signed(self, *lines: str) -> bool:
        """Return whether the signature matches one of `lines`."""
        return matches(self.signature, lines)
