"""The base of all values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
"""An integer of at most 64 bits, signed or unsigned, so that any program can read it and make a float of it."""


class Frozen(BaseModel):
    """An immutable value, compared by content; unknown fields, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


SchemaVersion = Annotated[int, Field(ge=1)]
