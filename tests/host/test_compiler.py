from __future__ import annotations

import shutil

import pytest

from harness.host import compiler
from harness.model.errors import EnvironmentUnfit


@pytest.mark.parametrize(
    ("chosen", "installed", "command"),
    [
        ("", {"cc", "gcc"}, ["/bin/cc"]),
        ("", {"clang", "gcc"}, ["/bin/gcc"]),
        ("gcc", {"cc", "gcc"}, ["/bin/gcc"]),
        ("gcc -m64 -DX='a b'", {"cc", "gcc"}, ["/bin/gcc", "-m64", "-DX=a b"]),
    ],
)
def test_a_compiler_is_found_and_the_users_choice_comes_first(
    chosen: str, installed: set[str], command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", chosen)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name in installed else None)
    assert compiler.find() == command


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ("", "there is no C compiler: none of cc, gcc, clang is installed. "),
        ("tcc -w", r"\$CC names 'tcc', which does not exist\. "),
    ],
)
def test_what_is_missing_is_told_with_a_remedy(chosen: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"cc"} if chosen else set()
    monkeypatch.setenv("CC", chosen)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name in installed else None)
    with pytest.raises(EnvironmentUnfit, match=f"^{told}Install gcc"):
        compiler.find()
