"""The Python environment is made when something changes that an installation depends on, and only then."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from ci import environment
from tests.ci.conftest import Checkout

DAY = 86_400


def sub(pattern: str, new: str, text: str) -> str:
    return re.sub(pattern, new, text, count=1, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "pattern", "new"),
    [
        ("ci/requirements.txt", r"^numpy==\S+", "numpy==9.9"),
        ("ci/requirements.txt", r"sha256:\w", "sha256:"),
        ("pyproject.toml", r"numpy>=", "numpy>"),
        ("pyproject.toml", r'^    "mypy>=\S+$', ""),
        ("pyproject.toml", r'^requires = \["hatchling"\]', 'requires = ["hatchling", "editables"]'),
        ("pyproject.toml", r"^stillframe = ", "another = "),
        ("pyproject.toml", r'^packages = \["harness", ', "packages = ["),
    ],
    ids=["version", "hash", "dependency", "test dependency", "build", "script", "wheel"],
)
def test_the_key_changes_with_what_is_installed(checkout: Checkout, name: str, pattern: str, new: str) -> None:
    before = environment.key(checkout.folder)
    checkout.edit(name, lambda text: sub(pattern, new, text))
    assert environment.key(checkout.folder) != before


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"\A", "# A comment.\n"),
        (r"^description = .*", 'description = "Another"'),
        (r"^line-length = .*", "line-length = 100"),
        (r"^strict = .*", "strict = false"),
        (r"^timeout = .*", "timeout = 200"),
    ],
    ids=["comment", "description", "linter", "types", "tests"],
)
def test_the_key_stays_with_all_else(checkout: Checkout, pattern: str, new: str) -> None:
    before = environment.key(checkout.folder)
    checkout.edit("pyproject.toml", lambda text: sub(pattern, new, text))
    assert environment.key(checkout.folder) == before


def test_each_checkout_and_each_python_has_its_own(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    here = environment.key(checkout.folder)
    moved = checkout.folder.rename(checkout.folder.with_name("moved"))
    there = environment.key(moved)
    monkeypatch.setattr(sys, "version", "3.15.0")
    assert len({here, there, environment.key(moved)}) == 3


SETUP = ("-euo", "pipefail", "-c", 'browser=; . ci/setup; echo "$venv"')
PIP = """\
case " $* " in
*" $(cat {fails} 2>/dev/null || echo nothing) "*) echo "pip says why"; exit 1 ;;
esac"""


@pytest.fixture
def machine(checkout: Checkout) -> Checkout:
    """A machine with a Python whose environments have a pip that installs nothing."""
    pip, fails = checkout.programs / "template/pip", checkout.folder.parent / "fails"
    checkout.program(pip, PIP.format(fails=fails))
    checkout.program(
        checkout.programs / "python3",
        f'[ "$1" = -m ] || exec {sys.executable} "$@"',
        f'mkdir -p "$3/bin" && cp {pip} "$3/bin"',
    )
    for name in ("cc", "mmdebstrap"):
        checkout.program(checkout.programs / name)
    return checkout


def setup(machine: Checkout) -> Path:
    done = machine.run(*SETUP)
    assert done.exit_code == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def installed(machine: Checkout) -> list[str]:
    return [call for call in machine.called if call.startswith("pip install")]


def test_an_environment_is_made_from_the_lock_file_and_then_kept(machine: Checkout) -> None:
    first = setup(machine)
    (locked, own) = installed(machine)
    assert "--require-hashes --requirement ci/requirements.txt" in locked
    assert "--no-deps --no-build-isolation --editable ." in own
    assert (setup(machine), installed(machine)) == (first, [])


def test_an_environment_is_made_anew_with_another_lock_file(machine: Checkout) -> None:
    first = setup(machine)
    machine.edit("ci/requirements.txt", lambda text: text + "another==1.0 --hash=sha256:0\n")
    assert setup(machine) != first
    assert len(installed(machine)) == 4


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        ("--require-hashes", ["ci/requirements.txt with Python 3.", "Check the network", "ci/lock"]),
        ("--editable", ["could not install this checkout"]),
        ("check", ["does not have what pyproject.toml asks for", "ci/lock"]),
    ],
)
def test_what_pip_cannot_do_is_told_and_tried_again(machine: Checkout, fails: str, told: list[str]) -> None:
    (machine.folder.parent / "fails").write_text(fails)
    done = machine.run(*SETUP)
    assert done.exit_code == 3
    assert "pip says why" in done.stdout + done.stderr
    assert [each for each in told if each not in done.stderr] == []
    (machine.folder.parent / "fails").unlink()
    assert machine.called
    setup(machine)
    assert len(installed(machine)) == 2


@pytest.mark.parametrize(
    ("name", "spoil", "told"),
    [
        ("ci/requirements.txt", Path.unlink, "ci/requirements.txt cannot be read: No such file or directory"),
        ("pyproject.toml", lambda path: path.write_text("[project\n"), "pyproject.toml cannot be read: Expected ']'"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(machine: Checkout, name: str, spoil: object, told: str) -> None:
    assert callable(spoil)
    spoil(machine.folder / name)
    done = machine.run(*SETUP)
    assert done.exit_code == 3
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def environment_of(machine: Checkout, name: str, *, checkout: str | None, days: int) -> Path:
    """Put an environment into the cache; `checkout` None: it was never finished."""
    folder = machine.cache / f"venv-{name}"
    folder.mkdir(parents=True)
    (machine.cache / f"pycache{folder}").mkdir(parents=True)
    if checkout is not None:
        complete = folder / "complete"
        complete.write_text(checkout)
        os.utime(complete, (time.time() - days * DAY,) * 2)
    return folder


def test_environments_do_not_pile_up(machine: Checkout, tmp_path: Path) -> None:
    own = str(machine.folder)
    (tmp_path / "other").mkdir()
    gone = [
        environment_of(machine, "old", checkout=own, days=9),
        environment_of(machine, "gone", checkout=str(tmp_path / "gone"), days=9),
        environment_of(machine, "unfinished", checkout=None, days=0),
    ]
    kept = [
        environment_of(machine, "recent", checkout=own, days=2),
        environment_of(machine, "other", checkout=str(tmp_path / "other"), days=9),
        environment_of(machine, "moving", checkout=str(tmp_path / "gone"), days=2),
    ]
    made = setup(machine)
    assert {path for path in machine.cache.glob("venv-*") if path.is_dir()} == {made, *kept}
    assert [path for path in gone if (machine.cache / f"pycache{path}").exists()] == []
    assert all((machine.cache / f"pycache{path}").exists() for path in kept)


def test_an_environment_that_is_in_use_is_kept(machine: Checkout) -> None:
    first = setup(machine)
    os.utime(first / "complete", (time.time() - 9 * DAY,) * 2)
    setup(machine)
    machine.edit("ci/requirements.txt", lambda text: text + "another==1.0 --hash=sha256:0\n")
    second = setup(machine)
    assert first.exists()
    os.utime(first / "complete", (time.time() - 9 * DAY,) * 2)
    machine.edit("ci/requirements.txt", lambda text: text + "third==1.0 --hash=sha256:0\n")
    setup(machine)
    assert (first.exists(), second.exists()) == (False, True)
