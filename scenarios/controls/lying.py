"""Mutants with a lying runtime, and their neutral neighbours: scripts that wrap the real program in the node.

A script knows the verb, the container's name (`$last`, the last word; for `kill`, `$named`), the bundle, and the report
channel. `real VERB ...` calls the real program, and `"$program" "$@"` passes the original call on. `lied` marks in a
file that the script has lied, or has made the harmless change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.host import cgroups
from harness.model.cells import Scenario
from harness.model.mutants import LYING
from harness.records.record import Record
from harness.trial.trial import Trial
from scenarios.controls.tampered import Mutant
from scenarios.test_paused_source import PausedSource

MARK = "/var/log/lied"
SCRIPT = """#!/bin/sh
# {what}
program={program}
real() {{ "$program" --root "{root}" "$@"; }}
lied() {{ : > {mark}; }}
pid() {{ real state "$last" | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p'; }}
loopback() {{ nsenter --net="/proc/$(pid)/ns/net" ip link set lo "$1"; }}
# ticks: wait until the container's disk has changed
ticks() {{ was=$(cksum < "$ring"); until [ "$(cksum < "$ring")" != "$was" ]; do sleep 0.005; done; }}
for last; do :; done
verb= images= before= named=
for word; do
    case $before in --image-path) images=$word ;; kill) named=$word ;; esac
    case $word in checkpoint | restore | pause | resume | kill | run | delete) verb=${{verb:-$word}} ;; esac
    before=$word
done
bundle={containers}/${{named:-$last}}
ring=$bundle/upper/data/added.ring
report=$(sed -n 's|.*"source": "\\(.*/report\\)".*|\\1|p' "$bundle/config.json" 2>/dev/null)
freezer={freezer}${{named:-$last}}/{setting}
{lie}
exec "$program" "$@"
"""


class Lying(Mutant):
    """A trial whose runtime lies."""

    lie: str
    what: str

    def run(self) -> Record:
        """Wrap the runtime's program during the trial."""
        with self._wrapped():
            return super().run()

    @contextlib.contextmanager
    def _wrapped(self) -> Iterator[None]:
        node, runtime = self.bench.node, self.bench.runtime.name
        node.journal = self.stages.journal  # the trial's own: whoever repeats it needs the lie
        program = node.run(["sh", "-c", f"command -v {runtime}"]).stdout.strip()
        hidden = f"{program}.real"
        setting, (thawed, frozen) = cgroups.FREEZER[node.version]
        node.run(["mv", program, hidden])
        text = SCRIPT.format(
            what=self.what,
            program=hidden,
            root=f"/run/{runtime}",
            mark=MARK,
            containers=f"{node.storage}/containers",
            freezer=node.freezer(""),
            setting=setting,
            lie=self.lie.strip().replace("@THAWED@", thawed).replace("@FROZEN@", frozen),
        )
        node.write(program, text, mode=0o755)
        try:
            yield
        finally:
            node.run(["mv", hidden, program])
            node.run(["rm", "-f", MARK])

    @property
    def played(self) -> bool:  # type: ignore[override]
        """Whether the script has marked its change."""
        return self.bench.node.path(MARK).exists()


class LyingOfPaused(Lying, PausedSource):
    """A trial whose runtime lies about a container that its user has paused."""


@dataclass(frozen=True)
class Lie:
    """The script lines of a mutant and of its neutral neighbour, which run before the real program."""

    lie: str
    neutral: str


LIES = {
    "loopback-down": Lie(
        """
case $verb in restore) "$program" "$@" || exit; loopback up; loopback down; lied; exit 0 ;; esac
""",
        """
case $verb in restore) "$program" "$@" || exit; loopback down; loopback up; lied; exit 0 ;; esac
""",
    ),
    "pause-does-nothing": Lie(
        """
case $verb in
    pause | resume) lied; exit 0 ;;
    checkpoint) "$program" "$@" || exit; ticks; exit 0 ;;
esac
""",
        """
case $verb in
    pause)
        lied
        echo @FROZEN@ > "$freezer"
        until real state "$last" | grep -q '"paused"'; do sleep 0.01; done
        exit 0 ;;
    resume) echo @THAWED@ > "$freezer"; exit 0 ;;
esac
""",
    ),
    "capture-early": Lie(
        """
case $verb in
    pause) exit 0 ;;
    checkpoint)
        cp --archive "$bundle/upper" /var/log/early
        ticks
        echo "${images%/images}" > /var/log/early.for ;;
    resume)
        lied
        to=$(cat /var/log/early.for)
        rm -r "$to/upper" /var/log/early.for
        mv /var/log/early "$to/upper"
        exit 0 ;;
esac
""",
        """
case $verb in checkpoint) "$program" "$@" || exit; lied; sleep 0.2; exit 0 ;; esac
""",
    ),
    "capture-late": Lie(
        """
case $verb in
    checkpoint)
        "$program" "$@" || exit
        real resume "$last"
        ticks
        real pause "$last"
        lied
        exit 0 ;;
esac
""",
        """
case $verb in checkpoint) "$program" "$@" || exit; lied; sleep 0.02; exit 0 ;; esac
""",
    ),
    "restore-starts": Lie(
        """
case $verb in restore) lied; real run --detach --bundle "$bundle" "$last"; exit ;; esac
""",
        """
case $verb in restore) lied; sleep 0.3 ;; esac
""",
    ),
    "restore-does-nothing": Lie(
        """
case $verb in restore) lied; exit 0 ;; esac
""",
        """
case $verb in restore) lied; real list > /dev/null ;; esac
""",
    ),
    "restore-crashes": Lie(
        """
case $verb in restore) "$program" "$@" || exit; real kill "$last" KILL; lied; exit 0 ;; esac
""",
        """
case $verb in restore) "$program" "$@" || exit; real kill "$last" WINCH; lied; exit 0 ;; esac
""",
    ),
    "restore-mute": Lie(
        """
case $verb in restore) "$program" "$@" || exit; real kill "$last" STOP; rm -f "$report"/*; lied; exit 0 ;; esac
""",
        """
case $verb in restore) "$program" "$@" || exit; real kill "$last" STOP; real kill "$last" CONT; lied; exit 0 ;; esac
""",
    ),
    "restore-stands": Lie(
        """
case $verb in
    restore)
        "$program" "$@" || exit
        until [ -n "$(ls "$report")" ]; do sleep 0.001; done
        real kill "$last" STOP
        ls "$report" | tail -n +2 | while read -r name; do rm "$report/$name"; done
        lied
        exit 0 ;;
esac
""",
        """
case $verb in
    restore)
        "$program" "$@" || exit
        until [ -n "$(ls "$report")" ]; do sleep 0.001; done
        real kill "$last" STOP
        real kill "$last" CONT
        lied
        exit 0 ;;
esac
""",
    ),
    "source-frozen": Lie(
        """
case $verb in resume) lied; (sleep 1; "$program" "$@") < /dev/null > /dev/null 2>&1 & exit 0 ;; esac
""",
        """
case $verb in resume) lied; sleep 0.3 ;; esac
""",
    ),
    "source-stopped": Lie(
        """
case $verb in resume) "$program" "$@" || exit; real kill "$last" STOP; lied; exit 0 ;; esac
""",
        """
case $verb in resume) "$program" "$@" || exit; real kill "$last" STOP; real kill "$last" CONT; lied; exit 0 ;; esac
""",
    ),
    "source-dead": Lie(
        """
case $verb in
    checkpoint)
        for word; do
            shift
            [ "$word" = --leave-running ] || set -- "$@" "$word"
        done
        lied ;;
    resume) "$program" "$@"; exit 0 ;;
esac
""",
        """
case $verb in checkpoint) "$program" "$@" || exit; lied ;; esac
""",
    ),
    "source-replaced": Lie(
        """
case $verb in
    resume)
        "$program" "$@" || exit
        real kill "$last" KILL
        until real state "$last" | grep -q '"stopped"'; do sleep 0.01; done
        real delete "$last"
        real run --detach --bundle "$bundle" "$last" < /dev/null > /dev/null 2>&1
        lied
        exit ;;
esac
""",
        """
case $verb in resume) "$program" "$@" || exit; real pause "$last"; lied ;; esac
""",
    ),
    "source-loses-records": Lie(
        """
case $verb in resume) dd if=/dev/zero of="$ring" bs=32 seek=1 count=8 conv=notrunc 2> /dev/null; lied ;; esac
""",
        """
case $verb in resume) touch "$ring"; lied ;; esac
""",
    ),
    "source-deaf": Lie(
        """
case "$verb $last" in "kill TERM") lied; exit 0 ;; esac
""",
        """
case "$verb $last" in "kill TERM") lied; sleep 0.3 ;; esac
""",
    ),
    "pause-lost": Lie(
        """
case $verb in
    checkpoint) "$program" "$@" || exit; real resume "$last"; lied; exit 0 ;;
    resume) "$program" "$@"; exit 0 ;;
esac
""",
        """
case $verb in checkpoint) real pause "$last" 2> /dev/null; lied ;; esac
""",
    ),
    "leaves-cgroup": Lie(
        """
case $verb in checkpoint) mkdir "${freezer%/*/*}/left"; lied ;; esac
""",
        """
case $verb in checkpoint) mkdir "${freezer%/*/*}/left"; rmdir "${freezer%/*/*}/left"; lied ;; esac
""",
    ),
    "leaves-mount": Lie(
        """
case $verb in checkpoint) mount -t tmpfs left /mnt; lied ;; esac
""",
        """
case $verb in checkpoint) mount -t tmpfs left /mnt; umount /mnt; lied ;; esac
""",
    ),
    "leaves-process": Lie(
        """
case $verb in checkpoint) setsid sleep 600 < /dev/null > /dev/null 2>&1 & lied ;; esac
""",
        """
case $verb in checkpoint) setsid sleep 0.5 < /dev/null > /dev/null 2>&1 & lied ;; esac
""",
    ),
    "leaves-firewall-rule": Lie(
        """
case $verb in checkpoint) nft add table inet left && lied ;; esac
""",
        """
case $verb in checkpoint) nft add table inet left && nft delete table inet left && lied ;; esac
""",
    ),
    "leaves-file": Lie(
        """
case $verb in checkpoint) : > /run/left; lied ;; esac
""",
        """
case $verb in checkpoint) : > /run/left; rm /run/left; lied ;; esac
""",
    ),
    "hangs": Lie(
        """
case $verb in pause) lied; sleep 600 ;; esac
""",
        """
case $verb in pause) lied; sleep 1 ;; esac
""",
    ),
    "half-written": Lie(
        """
case $verb in
    checkpoint)
        "$program" "$@" || exit
        ls "$images" | sed -n 'n;p' | while read -r name; do rm "$images/$name"; done
        lied
        exit 0 ;;
esac
""",
        """
case $verb in checkpoint) "$program" "$@" || exit; : > "$images/unrelated"; lied; exit 0 ;; esac
""",
    ),
}


def kinds() -> Iterator[tuple[str, type[Trial]]]:
    """Give the trials of all mutants and neighbours, by the ids of their controls."""
    for proof in LYING:
        made = LIES[proof.name]
        base = LyingOfPaused if proof.scenario is Scenario.PAUSED else Lying
        told = ((proof.name, proof.what, made.lie), (f"{proof.name}.neutral", proof.neutral, made.neutral))
        for name, what, lie in told:
            yield name, type(base.__name__, (base,), {"__doc__": f"{what}.", "control": name, "what": what, "lie": lie})
