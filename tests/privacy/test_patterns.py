"""Secrets, environments and memory, in lines that engines, runtimes and their helpers write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.privacy.patterns import line, without

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ID = "3f2a9c" * 10 + "beef"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\nAAAAB3Nz\n-----END OPENSSH PRIVATE KEY-----"

SECRETS = {
    "E: Failed to fetch http://ada:hunter2@mirror.example/debian/dists/sid/InRelease  401  Unauthorized": (
        "E: Failed to fetch http://[secret]@mirror.example/debian/dists/sid/InRelease  401  Unauthorized"
    ),
    "pinging https://hunter2@quay.io/v2/: denied": "pinging https://[secret]@quay.io/v2/: denied",
    "docker://u:p@ss@quay.io/app@sha256:ab12": "docker://[secret]@quay.io/app@sha256:ab12",
    "skopeo copy --src-creds ada:hunter2 --dest-creds=u:p a b": (
        "skopeo copy --src-creds [secret] --dest-creds=[secret] a b"
    ),
    "podman login --password 'hunter 2' quay.io": "podman login --password '[secret]' quay.io",
    "podman login '--password=hunter 2' quay.io": "podman login '--password=[secret]' quay.io",
    "podman login -u ada -p hunter2 quay.io": "podman login -u ada -p [secret] quay.io",
    '"CreateCommand": ["podman", "login", "--password", "hunter2", "x"]': (
        '"CreateCommand": ["podman", "login", "--password", "[secret]", "x"]'
    ),
    "curl -sS -u ada:hunter2 https://x.example/v2/": "curl -sS -u [secret] https://x.example/v2/",
    "curl -H 'Authorization: Bearer hunter2' http://localhost/v1.44": (
        "curl -H 'Authorization: [secret]' http://localhost/v1.44"
    ),
    "Proxy-Authorization: Basic aHVudGVyMg==\r\nHost: x": "Proxy-Authorization: [secret]\r\nHost: x",
    "> X-Registry-Auth: eyJ1c2VybmFtZSI6": "> X-Registry-Auth: [secret]",
    "Set-Cookie: session=hunter2; Path=/": "Set-Cookie: [secret]",
    '{"auths": {"quay.io": {"auth": "aHVudGVyMg=="}}}': '{"auths": {"quay.io": {"auth": "[secret]"}}}',
    '{\\"identitytoken\\": \\"hunter\\\\\\"2\\", \\"x\\": 1}': '{\\"identitytoken\\": \\"[secret]\\", \\"x\\": 1}',
    "GET /blob?X-Amz-Signature=deadbeef&token=hunter2&n=1": "GET /blob?X-Amz-Signature=[secret]&token=[secret]&n=1",
    "db_password: hunter2": "db_password: [secret]",
    "api_key=hunter2, secretAccessKey: hunter2;": "api_key=[secret], secretAccessKey: [secret];",
    "pushed by ghp_" + "aB3" * 12: "pushed by [secret]",
    "AKIAIOSFODNN7EXAMPLE was denied": "[secret] was denied",
    "bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.c2ln": "bearer [secret]",
    "root:$6$abcdefgh$0123456789abcdefghijABCDEFGHIJ/.:19000": "root:[secret]:19000",
    f"loading {KEY} failed": "loading [secret]\n\n\n failed",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow": "[secret]\n",
    "link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff": "link/ether [address] brd [address]",
}
ENVIRONMENTS = {
    "podman run --env DB=hunter2 -e 'X=a b' --env=Y=\"c d\" app": (
        "podman run --env DB=[value of DB] -e 'X=[value of X]' --env=Y=\"[value of Y]\" app"
    ),
    "podman run '--env=X=hunter 2' app": "podman run '--env=X=[value of X]' app",
    "-e 'X=it'\"'\"'s hunter2' app": "-e 'X=[value of X]' app",
    '"podman", "run", "-e", "X=hunter2", "app"': '"podman", "run", "-e", "X=[value of X]", "app"',
    "FOO=hunter2 BAR='x y' runc run one failed": "FOO=[value of FOO] BAR='[value of BAR]' runc run one failed",
    "sh -c: cd /b && FOO=hunter2 runc run one": "sh -c: cd /b && FOO=[value of FOO] runc run one",
    "env foo=hunter2 Bar=2 runc run one x=y": "env foo=[value of foo] Bar=[value of Bar] runc run one x=y",
    '{"Env": ["TOKEN=hun]t\\"er2", "A=b"], "Cmd": ["x=y"]}': (
        '{"Env": ["TOKEN=[value of TOKEN]", "A=[value of A]"], "Cmd": ["x=y"]}'
    ),
    json.dumps(json.dumps({"Env": ['A=h"2', "B=c\\"], "x": "y=z"})): json.dumps(
        json.dumps({"Env": ["A=[value of A]", "B=[value of B]"], "x": "y=z"})
    ),
    json.dumps({"process": {"env": [PATH, "TERM=xterm", "HOME=/h"], "cwd": "/"}}, indent=1): json.dumps(
        {"process": {"env": [PATH, "TERM=xterm", "HOME=[value of HOME]"], "cwd": "/"}}, indent=1
    ),
    "Config{Env:[PATH=/x HOME=/h A=b c] Cmd:[a=b]}": (
        "Config{Env:[PATH=[value of PATH] HOME=[value of HOME] A=[value of A]] Cmd:[a=b]}"
    ),
    'execve(0x7f1 /ledger, 0x7f2 ["/ledger"], 0x7f3 ["PATH=/x", "A=hunter2"])': (
        'execve(0x7f1 /ledger, 0x7f2 ["/ledger"], 0x7f3 ["PATH=[value of PATH]", "A=[value of A]"])'
    ),
    '"env": [{"name": "A", "value": "hunter2"}], "image": "x"': (
        '"env": [{"name": "[value of name]", "value": "[value of value]"}], "image": "x"'
    ),
    '"environment": {"A": "hunter2", "B": 7}': '"environment": {"A": "[value of A]", "B": 7}',
    '"env": ["A=hunter2", "B=cut o': '"env": ["A=[value of A]", "B=[value of B]',
    "A=hunter2 is it\nB=x y\nLS_COLORS=z\n": "A=[value of A]\nB=[value of B]\nLS_COLORS=[value of LS_COLORS]\n",
    "HOME=/h\0A=hunter2 x\0LANG=C\0": "HOME=[value of HOME]\0A=[value of A]\0LANG=[value of LANG]\0",
}
MEMORY = {
    "D0316 15:56:09.3827  104310 task_log.go:128] [   4:   8] 7efce9d5a870: 68 75 6e 74 65 72 32 00": (
        "D0316 15:56:09.3827  104310 task_log.go:128] [   4:   8] 7efce9d5a870: [memory]"
    ),
    "W0111 04:47:46.6702    4487 task_log.go:91] [ 12001] R0       = 0000e910afbb7078": (
        "W0111 04:47:46.6702    4487 task_log.go:91] [ 12001] R0       = [memory]"
    ),
    "00000010  68 75 6e 74 65 72 32 00  00 00 00 00 00 00 00 00  |hunter2.........|": "00000010  [memory]",
    "00000020  68 75                                             |hu|": "00000020  [memory]",
    "00000000: 6875 6e74 6572 3200 0000 0000 0000 0000  hunter2.........": "00000000: [memory]",
    "0000000 7568 746e 7265 0032": "0000000 [memory]",
    "7efce9d5a880: 31 32 33 34 35 36 37 38": "7efce9d5a880: [memory]",
    "0x7ffe1000:\t0x0000000000000000\t0x00007ffe12345678\t0x1234567812345678\t0x00": "0x7ffe1000:\t[memory]",
    "Code: 48 8b 05 d1 2f 00 00 48 85 c0 74": "Code: [memory]",
    "core: " + "68756e7465723200" * 9: "core: [memory]",
    "page " + "aHVudGVyMiBpcyBteSBwYXNzd29yZCBhbmQgbm90IHlvdXJzLCBhZGEhIDEyMzQ=": "page [memory]",
}
KEPT = (
    "20261127T230050Z-dc5525c2",
    "ledger.pause.docker/runc@debian-sid~docker/crun@debian-trixie+commit-host",
    f"/sys/fs/cgroup/docker/{ID}/cgroup.freeze",
    f"address=unix:///run/containerd/s/{ID} namespace=moby protocol=ttrpc version=2",
    f"sha256:{ID}",
    "f" * 128,
    "1.3.6+ds1-2~deb13u1, criu 4.2.1, go1.24.4, v2.1.0-rc.1-12-gabcdef0123456789",
    "lowerdir=image,upperdir=upper,workdir=work",
    "(00.003612) Error (criu/mount.c:1234): mnt: No mapping for 215:(null) mountpoint",
    "(00.012) 7: Error (criu/files.c:85): failed sys_rseq(0x7f12e5ca20, 0x20, 0, 0x53053053) = -22",
    'time="2026-11-27T23:10:00.1Z" level=error msg="Handler for POST /v1.44/containers/clone-3/start returned error"',
    "goroutine 1 [running]:\nmain.foo(0xc000123456, 0x10, 0x1)\n\t/src/main.go:12 +0x1d",
    "cgroup-root=name=systemd:/\ncgroup-root=pids:/\n",
    "curl --unix-socket /run/docker.sock -H 'Content-Type: application/json' http://localhost/v1.44/_ping",
    "secret      Manage secrets",
    '"authorization": null,\n"tokens": [],',
    "ERRO[0000] unauthorized: authentication required",
    "docker://alpine@sha256:ab12",
    "cpus 10 11 12 13 14 15 16 17 18 19 20 21 22",
    "CONFIG_CHECKPOINT_RESTORE=y\nCONFIG_MEM_SOFT_DIRTY=y\nCONFIG_USERFAULTFD=y\n",
    "podman login --password-stdin quay.io",
    '{"args": ["/ledger", "--surface", "added=/data/added.ring"], "env": []}',
)


@pytest.mark.parametrize(("told", "left"), (SECRETS | ENVIRONMENTS | MEMORY).items())
def test_it_is_taken_out_and_a_word_stands_for_it(told: str, left: str) -> None:
    assert without(told) == left
    assert without(left) == left


@pytest.mark.parametrize("told", KEPT)
def test_what_is_none_stays(told: str) -> None:
    assert without(told) == told


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("podman|login|--password|hunter 2|-u|ada", "podman|login|--password|[secret]|-u|ada"),
        ("/usr/bin/podman|login|-p|hunter2", "/usr/bin/podman|login|-p|[secret]"),
        ("curl|-u|ada:hunter2|http://x", "curl|-u|[secret]|http://x"),
        ("skopeo|copy|--src-creds=a b&c|x", "skopeo|copy|--src-creds=[secret]|x"),
        (
            "podman|run|-e|A=hunter 2|--env|B|--env=C=h|x=y",
            "podman|run|-e|A=[value of A]|--env|B|--env=C=[value of C]|x=y",
        ),
        ("env|-i|A=hunter2|B=3|runc|x=y", "env|-i|A=[value of A]|B=[value of B]|runc|x=y"),
        ('curl|-d|{"Env": ["A=hunter2"]}', 'curl|-d|{"Env": ["A=[value of A]"]}'),
        (
            "podman|run|-e|https://u:hunter2@x|--env=CONFIG_PASSWORD=hunter2",
            "podman|run|-e|https://[secret]@x|--env=CONFIG_PASSWORD=[secret]",
        ),
        ("env|-u|https://u:hunter2@x|A=1|sh", "env|-u|https://[secret]@x|A=[value of A]|sh"),
        ("sh|-c|A=hunter2 runc run", "sh|-c|A=[value of A] runc run"),
        ("podman|login|--password|--help", "podman|login|--password|--help"),
        ("podman|run|-p|80:80|--user|0:0|-e", "podman|run|-p|80:80|--user|0:0|-e"),
        ("", ""),
    ],
)
def test_of_a_command_a_word_may_tell_what_the_next_one_is(words: str, left: str) -> None:
    assert list(line(words.split("|"))) == left.split("|")
    assert list(line(left.split("|"))) == left.split("|")


FRAGMENTS = st.sampled_from(
    [*SECRETS, *ENVIRONMENTS, *MEMORY, *KEPT, *"=:[]{}\"'\\ \n\0@&", "://", "env=", "-e ", "A="]
)


@given(st.lists(FRAGMENTS | st.text(max_size=8), max_size=8).map("".join))
def test_the_second_time_nothing_is_left_to_take_out_and_lines_stay_lines(text: str) -> None:
    once = without(text)
    assert without(once) == once
    assert once.count("\n") == text.count("\n")


@given(st.text())
def test_any_text_will_do(text: str) -> None:
    assert without(without(text)) == without(text)


@given(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}(/[a-z0-9._-]{1,20}){0,8}", fullmatch=True)
    | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){1,3}([+~-][a-z0-9.]{1,12})?", fullmatch=True)
    | st.from_regex(r"(/[A-Z]?[a-z0-9._@~-]{4,16}){1,8}", fullmatch=True)
    | st.from_regex(r"[0-9a-f]{12,128}", fullmatch=True)
)
def test_ids_versions_and_paths_stay(text: str) -> None:
    assert without(text) == text


@pytest.mark.parametrize("sign", ["a", "=", ":", "/", '"', "\\", "[", "-e ", 'password=\\"', "://", "A=b "])
def test_a_megabyte_of_one_thing_comes_through(sign: str) -> None:
    assert without(sign * (1_000_000 // len(sign))), "and pytest's timeout would tell if it did not"
