"""Differences between a source and its restored container that are known, and show in every trial of some cells."""

from __future__ import annotations

import datetime as dt

from pydantic import Field, field_validator

from harness.model.invalid import regular_expression
from harness.model.known.signatures import LINK, SPELLED, covers, matches, selective
from harness.model.readings import Difference
from harness.model.values import Frozen


class KnownDifference(Frozen):
    """A difference that is declared once, and applies beside whatever else is known of the cells that it matches."""

    model_config = SPELLED

    match: tuple[str, ...] = Field(
        min_length=1,
        description="ids or shell patterns of ids; each pattern names a participant; one that begins with ! excludes",
    )
    signature: str = Field(
        min_length=1, description="regular expression that the difference in words must match, as `show` prints it"
    )
    reason: str = Field(description="why the restored container differs, as a sentence")
    link: str = Field(pattern=LINK, description="upstream discussion or documentation")
    owner: str = Field(min_length=1, description="who has to act: a project, or the maintainer of this entry")
    fix: str = Field(default="", description="what ends it: a version, a change or a setting; empty: not known")
    added: dt.date
    review_by: dt.date = Field(description="day of the next review; later the declaration is overdue")
    overdue: bool = Field(default=False, description="the day of review is past")
    declared: str = Field(default="", description="file and lines of the declaration")

    _pattern = field_validator("signature")(regular_expression)
    _selective = field_validator("signature")(selective)

    def explains(self, cell: str, difference: Difference) -> bool:
        """Return whether it is declared for a cell's id, and what it declares is the difference."""
        return covers(self.match, cell) and matches(self.signature, (str(difference),))
