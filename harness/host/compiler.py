"""The machine's C compiler."""

from __future__ import annotations

import os
import shlex
import shutil

from harness.model.errors import EnvironmentUnfit

NAMES = ("cc", "gcc", "clang")
INSTALL = "Install gcc and libc6-dev"


def find() -> list[str]:
    """Return the compiler's command line; $CC may give program and options. `EnvironmentUnfit` if there is none."""
    chosen = shlex.split(os.environ.get("CC", ""))
    for name in chosen[:1] or NAMES:
        path = shutil.which(name)
        if path:
            return [path, *chosen[1:]]
    lacking = (
        f"$CC names {chosen[0]!r}, which does not exist"
        if chosen
        else f"there is no C compiler: none of {', '.join(NAMES)} is installed"
    )
    raise EnvironmentUnfit(lacking, remedy=INSTALL)
