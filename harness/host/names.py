"""Names of this machine and of its users, which records leave out."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.privacy.redaction import CODE, HOME, HOST, MACHINE, USER, Redaction

IDENTITIES = (
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/proc/sys/kernel/random/boot_id",
    "/sys/class/dmi/id/product_uuid",
)
CHECKOUT = Path(__file__).resolve().parents[2]
ASKED_BY = ("SUDO_UID", "PKEXEC_UID")
CALLED = ("SUDO_USER", "DOAS_USER", "LOGNAME", "USER")


def redaction_here(spared: Collection[str] = ()) -> Redaction:
    """Return a redaction that removes this machine's names but keeps the words in `spared`."""
    accounts = tuple(_accounts())
    host = os.uname().nodename
    users = [each.pw_name for each in accounts] + [os.environ[name] for name in CALLED if name in os.environ]
    homes = [each.pw_dir for each in accounts] + [os.environ.get("HOME", "")]
    return Redaction.knowing(
        {HOST: (host, host.partition(".")[0]), USER: users, MACHINE: tuple(_identities())},
        {str(CHECKOUT): CODE, **{home.rstrip("/"): HOME for home in homes}},
        spared=spared,
    )


def _accounts() -> Iterator[pwd.struct_passwd]:
    """Give the accounts of this process, of the user who called sudo or pkexec, and of the checkout's owner."""
    uids = {os.getuid(), CHECKOUT.stat().st_uid, *(int(os.environ[name]) for name in ASKED_BY if name in os.environ)}
    for uid in sorted(uids):
        with contextlib.suppress(KeyError):
            yield pwd.getpwuid(uid)


def _identities() -> Iterator[str]:
    for path in IDENTITIES:
        with contextlib.suppress(OSError):
            yield Path(path).read_text(encoding="ascii").strip()
