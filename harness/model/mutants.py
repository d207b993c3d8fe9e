"""Mutants: what is broken on purpose, what the oracle has to say of it, and the harmless change beside it.

A mutant is played on one participant. On one whose checkpoints are folders and whose program can be wrapped, a
checkpoint is tampered with, or the runtime lies; on an engine, the archive that it has exported is changed. A neutral
neighbour changes as much and must pass. How each is done is in `scenarios/controls`.
"""

from __future__ import annotations

from dataclasses import replace

from harness.model.cells import Scenario
from harness.model.controls import DEFAULT_WORKLOAD, Ground, Proof
from harness.model.outcomes import Anomaly, Outcome

PRINTING = "chatty"
COPIED = "the same file is replaced by a copy of itself, with another inode and time"
LOG_COPIED = "the archive is put together anew, and the log is of another time"
PADDED = "padding in the counter's own page is changed"

TAMPERED = (
    Proof(
        "memory-older",
        "the counter's page is that of an earlier checkpoint",
        Outcome.INCONSISTENT,
        Anomaly.DISK_AHEAD,
        neutral=PADDED,
    ),
    Proof(
        "memory-zeroed", "the counter's page is zero", Outcome.RESTORE_FAILED, neutral="as much of it that is padding"
    ),
    Proof("memory-foreign", "the nonce in memory is another", Outcome.COLD_START, neutral=PADDED),
    Proof(
        "core-foreign",
        "the registers are those of another process",
        Outcome.RESTORE_FAILED,
        neutral="the statistics, which no restore reads, are those of another process",
    ),
    Proof(
        "ring-rewound",
        "the newest records are gone from a surface",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral=COPIED,
    ),
    Proof(
        "ring-advanced",
        "a surface holds records from the future",
        Outcome.INCONSISTENT,
        Anomaly.DISK_AHEAD,
        neutral=COPIED,
    ),
    Proof(
        "ring-torn", "half of a record is that of the one before", Outcome.INCONSISTENT, Anomaly.TORN, neutral=COPIED
    ),
    Proof("ring-lost", "one record is missing", Outcome.INCONSISTENT, Anomaly.RECORD_LOST, neutral=COPIED),
    Proof("ring-foreign", "one record is of another workload", Outcome.INCONSISTENT, Anomaly.TORN, neutral=COPIED),
    Proof(
        "ring-backwards",
        "one record was written after the one that follows it",
        Outcome.INCONSISTENT,
        Anomaly.TIME_BACKWARDS,
        neutral=COPIED,
    ),
    Proof(
        "ring-order",
        "the surface that is written first lacks the newest tick of the second",
        Outcome.INCONSISTENT,
        Anomaly.ORDER_BROKEN,
        neutral="the archive of the second has its members in another order",
    ),
    Proof(
        "ring-unread",
        "a surface is rewound, and only the restored workload can tell",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral=COPIED,
    ),
    Proof(
        "other-rewound",
        "of two workloads in the container the second has a ring that is rewound",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral="the ring of the second is replaced by a copy of itself",
        workload="twins",
    ),
    Proof(
        "surface-missing",
        "a surface is left out of the captured layer",
        Outcome.RESTORE_FAILED,
        Anomaly.DISK_BEHIND,
        neutral="a file that nobody opened is added to the layer",
    ),
    Proof(
        "surface-mixed",
        "one surface is that of an earlier checkpoint",
        Outcome.INCONSISTENT,
        Anomaly.SURFACES_DISAGREE,
        neutral=COPIED,
    ),
    Proof(
        "image-file-missing",
        "a file of the image that was modified is left out",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral=COPIED,
        workload="image-file",
    ),
    Proof(
        "deleted-file-back",
        "a file that was deleted is there again",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral="its mark of deletion is made anew",
        workload="deleted-file",
    ),
    Proof(
        "bind-mount-outside",
        "a surface is outside of the checkpoint",
        Outcome.NOT_CAPTURED,
        neutral="all surfaces are in the checkpoint, which is replaced by a copy of itself",
        workload="bind-mount",
        beside=DEFAULT_WORKLOAD,
    ),
    Proof(
        "swapped-memory",
        "an earlier checkpoint is restored than was read",
        Outcome.HARNESS_ERROR,
        signature="disagree on memory",
        neutral="a copy is restored of what was read",
    ),
    Proof(
        "swapped-surface",
        "a surface is rewound after the checkpoint was read",
        Outcome.HARNESS_ERROR,
        signature="disagree on added",
        neutral=COPIED,
    ),
    Proof(
        "swapped-workload",
        "the checkpoint of another workload is read than is restored",
        Outcome.HARNESS_ERROR,
        signature="disagree on the workload",
        neutral="a copy is read of what is restored",
    ),
    Proof(
        "pages-hidden",
        "the pages are not there when the checkpoint is read, and are back for the restore",
        Outcome.HARNESS_ERROR,
        signature="could not be read",
        neutral="the statistics are not there when it is read",
    ),
)

LYING = (
    Proof(
        "pause-does-nothing",
        "pause and resume succeed and do nothing",
        Outcome.INCONSISTENT,
        Anomaly.DISK_AHEAD,
        neutral="pause and resume write the kernel's freezer themselves",
    ),
    Proof(
        "capture-early",
        "the disk is taken before the dump, while the container runs",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral="the disk is taken late, while the container is held still",
    ),
    Proof(
        "capture-late",
        "the container runs for some ticks between dump and capture",
        Outcome.INCONSISTENT,
        Anomaly.DISK_AHEAD,
        neutral="as much time passes while it is held still",
    ),
    Proof("restore-starts", "restore starts the container anew", Outcome.COLD_START, neutral="restore comes late"),
    Proof(
        "restore-does-nothing",
        "restore succeeds and does nothing",
        Outcome.RESTORE_FAILED,
        signature="has ended by itself",
        neutral="restore lists the containers before",
    ),
    Proof(
        "restore-crashes",
        "what was restored is killed after the success",
        Outcome.RESTORE_FAILED,
        signature="has ended by itself",
        neutral="what was restored gets a signal that it ignores",
    ),
    Proof(
        "restore-mute",
        "what was restored is stopped before it says a word",
        Outcome.RESTORE_FAILED,
        signature="said nothing",
        neutral="what was restored is stopped for a moment",
    ),
    Proof(
        "restore-stands",
        "what was restored says what it found, and is stopped",
        Outcome.RESTORE_FAILED,
        signature="does not move",
        neutral="what was restored is stopped after its first words, for a moment",
    ),
    Proof(
        "source-frozen",
        "resume succeeds a second before it does anything",
        Outcome.SOURCE_HARMED,
        signature="still frozen",
        neutral="resume takes a while",
    ),
    Proof(
        "source-stopped",
        "resume leaves the source stopped",
        Outcome.SOURCE_HARMED,
        signature="no longer ticks",
        neutral="resume stops the source for a moment",
    ),
    Proof(
        "source-dead",
        "the live checkpoint ends the source",
        Outcome.SOURCE_HARMED,
        signature="no longer ticks",
        neutral="the live checkpoint is taken twice",
    ),
    Proof(
        "source-replaced",
        "resume puts a new process in the place of the source",
        Outcome.SOURCE_HARMED,
        signature="replaced by another process",
        neutral="resume pauses and resumes once more",
    ),
    Proof(
        "source-loses-records",
        "resume removes records from the source's own disk",
        Outcome.SOURCE_HARMED,
        signature="own disk and memory differ",
        neutral="resume changes the time of the source's file",
    ),
    Proof(
        "source-deaf",
        "the request to end is swallowed",
        Outcome.SOURCE_HARMED,
        signature="does not end when it is asked to",
        neutral="the request to end comes late",
    ),
    Proof(
        "pause-lost",
        "the live checkpoint of a paused container resumes it",
        Outcome.SOURCE_HARMED,
        signature="not paused any more",
        neutral="the live checkpoint pauses once more what is paused",
        scenario=Scenario.PAUSED,
    ),
    Proof(
        "leaves-cgroup",
        "a control group is left behind",
        Outcome.LEAKED,
        signature="cgroup ",
        neutral="a control group is made and removed",
    ),
    Proof(
        "leaves-mount",
        "a mount is left behind",
        Outcome.LEAKED,
        signature="mount ",
        neutral="a mount is made and removed",
    ),
    Proof(
        "leaves-process",
        "a process is left behind",
        Outcome.LEAKED,
        signature="process ",
        neutral="a process runs for a moment longer",
    ),
    Proof(
        "leaves-firewall-rule",
        "a firewall table is left behind",
        Outcome.LEAKED,
        signature="nftables table",
        neutral="a firewall table is made and removed",
    ),
    Proof(
        "leaves-file", "a file is left behind", Outcome.LEAKED, signature="file ", neutral="a file is made and removed"
    ),
    Proof("hangs", "pause does not come back", Outcome.HUNG, neutral="pause takes a second"),
    Proof(
        "half-written",
        "half of the images are missing, and it is called a success",
        Outcome.CHECKPOINT_BROKEN,
        neutral="a file that no restore reads is beside the images",
    ),
)
ARCHIVED = tuple(
    replace(proof, ground=Ground.ARCHIVES)
    for proof in (
        Proof(
            "archive-volume-left-out",
            "the archive lacks a volume",
            Outcome.RESTORE_FAILED,
            Anomaly.DISK_BEHIND,
            neutral="the archive is written again as it is",
            workload="volumes",
        ),
        Proof(
            "archive-surface-left-out",
            "the archive of the root file system lacks a surface",
            Outcome.RESTORE_FAILED,
            Anomaly.DISK_BEHIND,
            neutral="the archive of the root file system is written again as it is",
        ),
        Proof(
            "archive-truncated",
            "the archive is cut off in the middle, and called a success",
            Outcome.CHECKPOINT_BROKEN,
            signature="no whole archive",
            neutral="zeros follow the archive's end",
        ),
        Proof(
            "archive-newer",
            "the images are of a version that nobody knows yet",
            Outcome.RESTORE_FAILED,
            neutral="the archive is written again as it is",
        ),
        Proof(
            "archive-two-workloads",
            "of two workloads in the container the second has a ring that is rewound",
            Outcome.INCONSISTENT,
            Anomaly.DISK_BEHIND,
            neutral="the archive of the root file system is written again as it is",
            workload="twins",
        ),
        Proof(
            "log-cut-short",
            "the last lines are left out of the engine's log",
            Outcome.INCONSISTENT,
            Anomaly.RECORD_LOST,
            signature="in the restored container's log",
            neutral=LOG_COPIED,
            workload=PRINTING,
        ),
        Proof(
            "log-repeated",
            "the last lines are in the engine's log twice",
            Outcome.INCONSISTENT,
            Anomaly.RECORD_REPEATED,
            neutral=LOG_COPIED,
            workload=PRINTING,
        ),
        Proof(
            "log-advanced",
            "the engine's log holds lines from the future",
            Outcome.INCONSISTENT,
            Anomaly.DISK_AHEAD,
            neutral=LOG_COPIED,
            workload=PRINTING,
        ),
    )
)
MUTANTS = (*TAMPERED, *LYING, *ARCHIVED)
