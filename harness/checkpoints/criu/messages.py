"""The messages of CRIU's images: their fields, by the numbers that CRIU gives them.

A message in `WHOLE` has every field of CRIU 4.3 here, so any other field in it is from a newer CRIU. The other
messages have only the fields that the project reads. Names of processes and files are bytes: a process chooses them
freely, and they need not be UTF-8. https://github.com/checkpoint-restore/criu/tree/v4.2/images; CRIU 4.3 adds the
fields about compressed pages.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from harness.foreign.protobuf import BOOL, BYTES, INT32, INT64, SINT32, TEXT, UINT32, UINT64, Fields, Many, types

FIELDS: Fields = {
    "inventory_entry": {
        "img_version": (1, UINT32),
        "fdinfo_per_id": (2, BOOL),
        "root_ids": (3, "task_kobj_ids_entry"),
        "ns_per_id": (4, BOOL),
        "root_cg_set": (5, UINT32),
        "lsmtype": (6, UINT32),
        "dump_uptime": (8, UINT64),
        "pre_dump_mode": (9, UINT32),
        "tcp_close": (10, BOOL),
        "network_lock_method": (11, UINT32),
        "plugins_entry": (12, "plugins_entry"),
        "dump_criu_run_id": (13, TEXT),
        "allow_uprobes": (14, BOOL),
        "compress": (15, UINT32),
        "compress_block_size": (16, UINT32),
    },
    "plugins_entry": {"plugins": (12, Many(TEXT))},
    "pagemap_head": {"pages_id": (1, UINT32)},
    "pagemap_entry": {
        "vaddr": (1, UINT64),
        "compat_nr_pages": (2, UINT32),
        "in_parent": (3, BOOL),
        "flags": (4, UINT32),
        "nr_pages": (5, UINT64),
        "blocks": (6, "pagemap_blocks"),
    },
    "pagemap_blocks": {
        "block_sizes": (1, Many(UINT32, packed=True)),
        "total_payload_size": (2, UINT64),
        "pages_per_block": (3, UINT32),
    },
    "mnt_entry": {
        "fstype": (1, UINT32),
        "mnt_id": (2, UINT32),
        "root_dev": (3, UINT32),
        "parent_mnt_id": (4, UINT32),
        "flags": (5, UINT32),
        "root": (6, TEXT),
        "mountpoint": (7, TEXT),
        "source": (8, TEXT),
        "options": (9, TEXT),
        "shared_id": (10, UINT32),
        "master_id": (11, UINT32),
        "with_plugin": (12, BOOL),
        "ext_mount": (13, BOOL),
        "fsname": (14, TEXT),
        "internal_sharing": (15, BOOL),
        "deleted": (16, BOOL),
        "sb_flags": (17, UINT32),
        "ext_key": (18, TEXT),
    },
    "pstree_entry": {
        "pid": (1, UINT32),
        "ppid": (2, UINT32),
        "pgid": (3, UINT32),
        "sid": (4, UINT32),
        "threads": (5, Many(UINT32)),
    },
    "task_kobj_ids_entry": {
        "vm_id": (1, UINT32),
        "files_id": (2, UINT32),
        "fs_id": (3, UINT32),
        "sighand_id": (4, UINT32),
        "pid_ns_id": (5, UINT32),
        "net_ns_id": (6, UINT32),
        "ipc_ns_id": (7, UINT32),
        "uts_ns_id": (8, UINT32),
        "mnt_ns_id": (9, UINT32),
        "user_ns_id": (10, UINT32),
        "cgroup_ns_id": (11, UINT32),
        "time_ns_id": (12, UINT32),
    },
    "core_entry": {
        "mtype": (1, INT32),
        "thread_info": (2, "thread_info_x86"),
        "tc": (3, "task_core_entry"),
        "ids": (4, "task_kobj_ids_entry"),
        "thread_core": (5, "thread_core_entry"),
    },
    "task_core_entry": {
        "task_state": (1, UINT32),
        "exit_code": (2, UINT32),
        "comm": (6, BYTES),
        "rlimits": (8, "task_rlimits_entry"),
    },
    "task_rlimits_entry": {"rlimits": (1, Many("rlimit_entry"))},
    "rlimit_entry": {"cur": (1, UINT64), "max": (2, UINT64)},
    "thread_core_entry": {"creds": (10, "creds_entry"), "seccomp_mode": (11, UINT32)},
    "creds_entry": {"cap_prm": (10, Many(UINT32)), "cap_eff": (11, Many(UINT32))},
    "thread_info_x86": {"fpregs": (3, "user_x86_fpregs_entry")},
    "user_x86_fpregs_entry": {"xsave": (13, "user_x86_xsave_entry")},
    "user_x86_xsave_entry": {"xstate_bv": (1, UINT64)},
    "mm_entry": {
        "mm_arg_start": (8, UINT64),
        "mm_arg_end": (9, UINT64),
        "mm_env_start": (10, UINT64),
        "mm_env_end": (11, UINT64),
        "exe_file_id": (12, UINT32),
    },
    "mm_mappings": {"vmas": (14, Many("vma_entry"))},
    "vma_entry": {
        "start": (1, UINT64),
        "end": (2, UINT64),
        "pgoff": (3, UINT64),
        "shmid": (4, UINT64),
        "status": (7, UINT32),
    },
    "pipe_data_entry": {"pipe_id": (1, UINT32), "bytes": (2, UINT32), "size": (3, UINT32)},
    "memfd_file_entry": {"id": (1, UINT32), "inode_id": (5, UINT32)},
    "memfd_inode_entry": {"shmid": (5, UINT32), "inode_id": (7, UINT64)},
    "fdinfo_entry": {
        "id": (1, UINT32),
        "flags": (2, UINT32),
        "type": (3, UINT32),
        "fd": (4, UINT32),
        "xattr_security_selinux": (5, BYTES),
    },
    "file_entry": {
        "type": (1, UINT32),
        "id": (2, UINT32),
        "reg": (3, "reg_file_entry"),
        "tty": (19, "tty_file_entry"),
        "memfd": (20, "memfd_file_entry"),
    },
    "reg_file_entry": {
        "id": (1, UINT32),
        "flags": (2, UINT32),
        "pos": (3, UINT64),
        "name": (6, BYTES),
        "mnt_id": (7, SINT32),
        "size": (8, UINT64),
        "ext": (9, BOOL),
        "mode": (10, UINT32),
    },
    "tty_file_entry": {"id": (1, UINT32), "tty_info_id": (2, UINT32), "flags": (3, UINT32), "regf_id": (6, UINT32)},
    "tty_info_entry": {
        "id": (1, UINT32),
        "type": (2, UINT32),
        "sid": (6, UINT32),
        "pgrp": (7, UINT32),
        "rdev": (8, UINT32),
        "pty": (12, "tty_pty_entry"),
    },
    "tty_pty_entry": {"index": (1, UINT32)},
    "fs_entry": {"cwd_id": (1, UINT32), "root_id": (2, UINT32), "umask": (3, UINT32)},
    "remap_file_path_entry": {"orig_id": (1, UINT32), "remap_id": (2, UINT32), "remap_type": (3, UINT32)},
    "file_lock_entry": {
        "flag": (1, UINT32),
        "type": (2, UINT32),
        "pid": (3, INT32),
        "fd": (4, INT32),
        "start": (5, INT64),
        "len": (6, INT64),
    },
    "cgroup_entry": {"sets": (1, Many("cg_set_entry")), "controllers": (2, Many("cg_controller_entry"))},
    "cg_set_entry": {"id": (1, UINT32)},
    "cg_controller_entry": {"dirs": (2, Many("cgroup_dir_entry"))},
    "cgroup_dir_entry": {"dir_name": (1, TEXT)},
    "netns_entry": {"ext_key": (8, TEXT), "ipv4_sysctl": (10, Many("sysctl_entry"))},
    "sysctl_entry": {"type": (1, INT32), "iarg": (2, INT32), "sarg": (3, TEXT)},
    "stats_entry": {"dump": (1, "dump_stats_entry")},
    "dump_stats_entry": {
        "freezing_time": (1, UINT32),
        "frozen_time": (2, UINT32),
        "memdump_time": (3, UINT32),
        "memwrite_time": (4, UINT32),
        "pages_scanned": (5, UINT64),
        "pages_skipped_parent": (6, UINT64),
        "pages_written": (7, UINT64),
    },
}
"""Fields of messages by name: number and kind; a kind in quotes is the name of a message."""

WHOLE = frozenset({
    "inventory_entry", "plugins_entry", "task_kobj_ids_entry", "pagemap_head", "pagemap_entry", "pagemap_blocks",
    "mnt_entry", "pstree_entry", "fdinfo_entry", "fs_entry", "file_lock_entry", "tty_pty_entry",
})  # fmt: skip
"""Messages whose fields are all described here, including their inner messages."""


def kind_of(message: str, field: str) -> Any:
    """Return the kind of a field, or the kind of its values if it is a list."""
    _, kind = FIELDS[message][field]
    return kind.of if isinstance(kind, Many) else kind


TYPES: dict[str, type[Message]] = types("criu", FIELDS, syntax="proto2")
"""Classes of the messages by name."""
