"""The base of all values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
"""An integer of at most 64 bits, signed or unsigned, so that any program can read it and make a float of it."""

LONGEST_NAME = 200
_DOTTED = "[{0}]+([.][{0}]+)*"
_WORD, _NAME = _DOTTED.format("A-Za-z0-9_@~+:-"), _DOTTED.format("/A-Za-z0-9_@~+:-")
Word = Annotated[str, Field(max_length=LONGEST_NAME, pattern=f"^{_WORD}$")]
"""A name that may become the name of a file: letters, digits and a few signs, without two dots in a row."""

Name = Annotated[str, Field(max_length=LONGEST_NAME, pattern=f"^{_NAME}$")]
"""A name in an id; it may also have slashes, as in `podman/crun`."""

NameOrNothing = Annotated[str, Field(max_length=LONGEST_NAME, pattern=f"^({_NAME})?$")]


class Frozen(BaseModel):
    """An immutable value, compared by content; unknown fields, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


SchemaVersion = Annotated[int, Field(ge=1)]
