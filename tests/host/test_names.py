from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.host import names
from harness.host.names import redaction_here

ACCOUNTS = {0: ("root", "/root"), 1042: ("ada", "/home/ada"), 1043: ("grace", "/srv/people/grace/")}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine on which root runs from the user ada's checkout."""
    (tmp_path / "machine-id").write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n", encoding="ascii")

    def account(uid: int) -> SimpleNamespace:
        return SimpleNamespace(**dict(zip(("pw_name", "pw_dir"), ACCOUNTS[uid], strict=True)))

    def be(**environment: str) -> None:
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="buildbox7.corp.example"))
        monkeypatch.setattr(os, "getuid", lambda: 0)
        monkeypatch.setattr(os, "environ", environment)
        monkeypatch.setattr(pwd, "getpwuid", account)
        monkeypatch.setattr(names, "CHECKOUT", tmp_path / "src" / "frames")
        monkeypatch.setattr(names, "IDENTITIES", (str(tmp_path / "machine-id"), str(tmp_path / "none")))

    (tmp_path / "src" / "frames").mkdir(parents=True)
    return be


def test_what_names_the_machine_and_its_users_is_known(machine: Callable[..., None], tmp_path: Path) -> None:
    machine(SUDO_UID="1043", SUDO_USER="grace", LOGNAME="root", HOME="/srv/homes/x")
    found = redaction_here()
    assert found.text("buildbox7 grace root 3d1219c7c4c5404aaa1f6d2a48adfda4") == "[host] [user] root [machine]"
    assert found.text(f"/srv/people/grace/x /root/x /srv/homes/x {tmp_path}/src/frames/x") == "~/x ~/x ~ [stillframe]/x"


def test_whose_the_checkout_is_is_a_user_too(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine()
    monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_uid=1042))
    assert redaction_here().text("ada, /home/ada") == "[user], ~"


def test_an_account_that_is_none_is_nobody(machine: Callable[..., None]) -> None:
    machine(SUDO_UID="4711", DOAS_USER="alan")
    assert redaction_here().text("alan on buildbox7") == "[user] on [host]"


def test_words_of_ids_are_spared(machine: Callable[..., None]) -> None:
    machine(USER="grace")
    assert redaction_here({"grace", "buildbox7"}).text("grace on buildbox7") == "grace on buildbox7"


def test_it_is_asked_of_this_machine() -> None:
    found = redaction_here()
    assert found.text(f'File "{names.CHECKOUT}/x.py"') == 'File "[stillframe]/x.py"'
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert found.text(f"{home}/x") == ("~/x" if home == "/root" or home.count("/") > 1 else f"{home}/x")
