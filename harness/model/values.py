"""What all values are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
"""A number that any program can hold, and that has a float near it."""


class Frozen(BaseModel):
    """A value: immutable, compared by content, strict about unknown fields and about numbers that are none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


SchemaVersion = Annotated[int, Field(ge=1)]
