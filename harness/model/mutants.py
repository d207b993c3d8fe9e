"""Mutants: what is broken on purpose, what the oracle must say about it, and the harmless change beside it.

A mutant runs on one participant. If its checkpoints are folders and its program can be wrapped, the mutant changes
the files of a checkpoint or makes the runtime lie. On an engine, it changes the exported archive. A neutral neighbour
changes as much and must pass. The code of each mutant is in `scenarios/controls`.
"""

from __future__ import annotations

from dataclasses import replace

from harness.model.cells import Scenario
from harness.model.controls import (
    APART,
    APPLIED,
    DEFAULT_WORKLOAD,
    LOOPBACK_DOWN,
    OF_STATE,
    UNFILTERED,
    Ground,
    Proof,
)
from harness.model.outcomes import Anomaly, Outcome

PRINTING = "chatty"
COPIED = "the same file is replaced by a copy of itself, with another inode and time"
LOG_COPIED = "the archive is written again, and the log has another time"
PADDED = "padding in the counter's own page is changed"

TAMPERED = (
    *OF_STATE,
    Proof(
        "memory-older",
        "the counter's page comes from an earlier checkpoint",
        Outcome.INCONSISTENT,
        Anomaly.DISK_AHEAD,
        neutral=PADDED,
    ),
    Proof("memory-zeroed", "the counter's page is filled with zeros", Outcome.RESTORE_FAILED, neutral=PADDED),
    Proof("memory-foreign", "memory holds another nonce", Outcome.COLD_START, neutral=PADDED),
    Proof(
        "core-foreign",
        "the registers come from another process",
        Outcome.RESTORE_FAILED,
        neutral="the statistics, which no restore reads, come from another process",
    ),
    Proof(
        "ring-rewound",
        "a surface lacks its newest records",
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
        "ring-torn",
        "half of a record comes from the record before it",
        Outcome.INCONSISTENT,
        Anomaly.TORN,
        neutral=COPIED,
    ),
    Proof("ring-lost", "one record is missing", Outcome.INCONSISTENT, Anomaly.RECORD_LOST, neutral=COPIED),
    Proof("ring-foreign", "one record comes from another workload", Outcome.INCONSISTENT, Anomaly.TORN, neutral=COPIED),
    Proof(
        "ring-backwards",
        "one record has a later time than the next one",
        Outcome.INCONSISTENT,
        Anomaly.TIME_BACKWARDS,
        neutral=COPIED,
    ),
    Proof(
        "ring-order",
        "the first surface in writing order lacks the newest tick of the second",
        Outcome.INCONSISTENT,
        Anomaly.ORDER_BROKEN,
        neutral="the archive of the second surface has its members in another order",
    ),
    Proof(
        "ring-unread",
        "a surface lacks its newest records, and only the restored workload can see it",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral=COPIED,
    ),
    Proof(
        "other-rewound",
        "the ring of the container's second workload lacks its newest records",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral="the ring of the second workload is replaced by a copy of itself",
        workload="twins",
    ),
    Proof(
        "surface-missing",
        "the captured layer lacks a surface",
        Outcome.RESTORE_FAILED,
        Anomaly.DISK_BEHIND,
        neutral="the layer has one more file, which no process opened",
    ),
    Proof(
        "surface-mixed",
        "one surface comes from an earlier checkpoint",
        Outcome.INCONSISTENT,
        Anomaly.SURFACES_DISAGREE,
        neutral=COPIED,
    ),
    Proof(
        "image-file-missing",
        "the captured layer lacks a modified file of the image",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral=COPIED,
        workload="image-file",
    ),
    Proof(
        "deleted-file-back",
        "a deleted file exists again",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral="the whiteout of the deleted file is made again",
        workload="deleted-file",
    ),
    Proof(
        "sentinel-left-out",
        "the captured layer lacks a file that was written once, at the start",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral=COPIED,
        workload="appended",
    ),
    Proof(
        "appended-cut-short",
        "a file that grows lacks its last records",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral=COPIED,
        workload="appended",
    ),
    Proof(
        "appended-repeated",
        "a file that grows has its last records twice",
        Outcome.INCONSISTENT,
        Anomaly.RECORD_REPEATED,
        neutral=COPIED,
        workload="appended",
    ),
    Proof(
        "bind-mount-outside",
        "a surface is outside the checkpoint",
        Outcome.NOT_CAPTURED,
        neutral="all surfaces are in the checkpoint, which is replaced by a copy of itself",
        workload="bind-mount",
        beside=DEFAULT_WORKLOAD,
    ),
    Proof(
        "swapped-memory",
        "the restore gets an earlier checkpoint than the offline reading",
        Outcome.HARNESS_ERROR,
        signature="disagree on memory",
        neutral="the restore gets a copy of the checkpoint that was read offline",
    ),
    Proof(
        "swapped-surface",
        "a surface loses its newest records after the offline reading",
        Outcome.HARNESS_ERROR,
        signature="disagree on added",
        neutral=COPIED,
    ),
    Proof(
        "swapped-workload",
        "the offline reading gets the checkpoint of another workload than the restore",
        Outcome.HARNESS_ERROR,
        signature="disagree on the workload",
        neutral="the offline reading gets a copy of the restored checkpoint",
    ),
    Proof(
        "pages-hidden",
        "the memory pages are missing during the offline reading, and are back for the restore",
        Outcome.HARNESS_ERROR,
        signature="could not be read",
        neutral="the statistics are missing during the offline reading",
    ),
)

LYING = (
    LOOPBACK_DOWN,
    Proof(
        "pause-does-nothing",
        "pause and resume succeed and do nothing",
        Outcome.INCONSISTENT,
        Anomaly.DISK_AHEAD,
        neutral="pause and resume write the kernel's freezer themselves",
    ),
    Proof(
        "capture-early",
        "the disk is captured before the dump, while the container runs",
        Outcome.INCONSISTENT,
        Anomaly.DISK_BEHIND,
        neutral="the disk is captured late, while the container is held still",
    ),
    Proof(
        "capture-late",
        "the container runs for some ticks between dump and capture",
        Outcome.INCONSISTENT,
        Anomaly.DISK_AHEAD,
        neutral="as much time passes while the container is held still",
    ),
    Proof("restore-starts", "restore starts a new container", Outcome.COLD_START, neutral="restore comes late"),
    Proof(
        "restore-does-nothing",
        "restore succeeds and does nothing",
        Outcome.RESTORE_FAILED,
        signature="has ended by itself",
        neutral="restore first lists the containers",
    ),
    Proof(
        "restore-crashes",
        "the restored container is killed after the restore succeeds",
        Outcome.RESTORE_FAILED,
        signature="has ended by itself",
        neutral="the restored container gets a signal that it ignores",
    ),
    Proof(
        "restore-mute",
        "the restored workload is stopped before it reports anything",
        Outcome.RESTORE_FAILED,
        signature="said nothing",
        neutral="the restored workload is stopped for a moment",
    ),
    Proof(
        "restore-stands",
        "the restored workload is stopped after its first report",
        Outcome.RESTORE_FAILED,
        signature="does not move",
        neutral="the restored workload is stopped for a moment after its first report",
    ),
    Proof(
        "source-frozen",
        "resume reports success one second before it acts",
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
        "resume replaces the source by a new process",
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
        "the request to end is lost",
        Outcome.SOURCE_HARMED,
        signature="does not end when it is asked to",
        neutral="the request to end comes late",
    ),
    Proof(
        "pause-lost",
        "the live checkpoint of a paused container resumes it",
        Outcome.SOURCE_HARMED,
        signature="not paused any more",
        neutral="the live checkpoint pauses the paused container once more",
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
    Proof("hangs", "pause does not return", Outcome.HUNG, neutral="pause takes a second"),
    Proof(
        "half-written",
        "half of the images are missing, and the runtime reports success",
        Outcome.CHECKPOINT_BROKEN,
        neutral="a file that no restore reads lies beside the images",
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
            "the archive is cut off in the middle, and the engine reports success",
            Outcome.CHECKPOINT_BROKEN,
            signature="not a complete archive",
            neutral="zeros follow the archive's end",
        ),
        UNFILTERED,
        Proof(
            "archive-newer",
            "the images have a version that no CRIU knows yet",
            Outcome.RESTORE_FAILED,
            neutral="the archive is written again as it is",
        ),
        Proof(
            "archive-two-workloads",
            "the ring of the container's second workload lacks its newest records",
            Outcome.INCONSISTENT,
            Anomaly.DISK_BEHIND,
            neutral="the archive of the root file system is written again as it is",
            workload="twins",
        ),
        Proof(
            "log-cut-short",
            "the engine's log lacks its last lines",
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
MUTANTS = (*TAMPERED, *LYING, APART, *APPLIED, *ARCHIVED)
