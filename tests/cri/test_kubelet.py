"""A checkpoint through a kubelet: what it writes is read, and whatever goes wrong is one sentence and an exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.commands import checkpoints as commands
from harness.commands.cli import main
from harness.commands.declarations import checkpoints as declared
from harness.cri import kubelet
from tests.cri.kubelet import CONTAINER, TOKEN, Certificates, Fake, Handler, serving
from tests.real_checkpoints import plain

Tell = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A kubelet whose folder is where the command expects it."""
    folder = tmp_path / "kubelet"
    folder.mkdir()
    monkeypatch.setattr(commands, "KUBELET_FOLDER", str(folder))
    return Fake(folder, archive=plain("containerd-runc-ledger"))


@pytest.fixture
def url(fake: Fake) -> Iterator[str]:
    """The kubelet, as a proxy on this machine shows it: without TLS."""
    with serving(fake) as url:
        yield url


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], token: Path) -> Tell:
    """Run the command; gives the exit code and what it says on standard error, which is one line at most."""

    def told(url: str, *options: str, container: str = CONTAINER) -> tuple[int, str]:
        more = options or ("--token", str(token))
        code = main(["checkpoint", container, "--kubelet", url, *more])
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert said[:-1].isprintable()
        assert TOKEN not in said
        return code, said

    return told


def answers(status: int, text: str | bytes) -> Callable[[Handler], None]:
    return lambda handler: handler.say(status, text)


def items(*paths: object) -> Callable[[Handler], None]:
    return answers(200, json.dumps({"items": list(map(str, paths))}))


def raw(content: bytes) -> Callable[[Handler], None]:
    def act(handler: Handler) -> None:
        handler.wfile.write(content)

    return act


def test_what_the_kubelet_wrote_is_read(
    fake: Fake, certificates: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    proofs = ["--ca", certificates["ca.crt"], "--cert", certificates["client.crt"], "--key", certificates["client.key"]]
    with serving(fake, tls=certificates.context()) as url:
        assert main(["checkpoint", CONTAINER, "--kubelet", url, *proofs]) == 0
    told = capsys.readouterr()
    assert "made by: containerd" in told.out
    assert told.out.endswith("verdict: consistent: memory and every surface are of one instant\n")
    (archive,) = fake.folder.iterdir()
    assert f"The kubelet wrote {archive}. It holds the memory of the container" in " ".join(told.err.split())
    assert (fake.asked, fake.timeouts) == ([f"/checkpoint/{CONTAINER}"], ["120"])


def test_other_ways_to_the_same_answer(
    fake: Fake, tmp_path: Path, token: Path, certificates: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(fake, socket=tmp_path / "socket") as url:
        assert main(["checkpoint", CONTAINER, "--kubelet", url, "--token", str(token), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finding"] == "consistent"
    one_file = ["--ca", certificates["ca.crt"], "--cert", certificates["client.pem"]]
    link = tmp_path / "link"
    link.symlink_to(token)  # as a pod has it
    with serving(fake, tls=certificates.context()) as url:
        assert main(["checkpoint", CONTAINER, "--kubelet", url, *one_file, "--timeout", "600"]) == 0
        assert main(["checkpoint", CONTAINER, "--kubelet", url, *one_file[:2], "--token", str(link)]) == 0
    assert fake.timeouts == ["120", "600", "120"]


def test_a_proxy_may_stand_before_the_kubelet(fake: Fake, url: str, tell: Tell) -> None:
    prefix = "/api/v1/nodes/n1/proxy"
    fake.act = answers(404, json.dumps({"kind": "Status", "message": 'nodes "n1" not found', "code": 404}))
    code, said = tell(f"{url}{prefix}/")
    assert fake.asked == [f"{prefix}/checkpoint/{CONTAINER}"]
    assert (code, f'does not know {CONTAINER}: nodes "n1" not found.' in said) == (2, True)


def test_the_verdict_is_that_of_inspect(fake: Fake, url: str, token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake.archive = plain("crio-runc-image-file")
    assert main(["checkpoint", CONTAINER, "--kubelet", url, "--token", str(token)]) == 1
    assert "verdict: inconsistent" in capsys.readouterr().out
    fake.archive = fake.archive[: len(fake.archive) // 2]
    assert main(["checkpoint", CONTAINER, "--kubelet", url, "--token", str(token)]) == 2
    assert " cannot be read: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ("nowhere/web/app", "pod does not exist"),
        ("default/nobody/app", "pod does not exist"),
        ("default/web/none", "container none does not exist"),
    ],
)
def test_an_unknown_container_is_wrong_usage(url: str, tell: Tell, container: str, said: str) -> None:
    code, told = tell(url, container=container)
    assert code == 2
    assert f"does not know {container}: {said}. `kubectl get pods" in told


def test_who_may_not_is_told_why(fake: Fake, url: str, tell: Tell, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("open")
    code, said = tell(url, "--token", str(wrong))
    assert (code, "does not know who asks (status 401): Unauthorized. Give --cert" in said) == (3, True)
    fake.allowed = False
    code, said = tell(url)
    assert (code, "does not allow it (status 403): Forbidden (user=token, verb=create" in said) == (3, True)
    assert "`nodes/checkpoint`" in said
    fake.allowed, fake.enabled = True, False
    code, said = tell(url)
    assert (code, "has no checkpoint endpoint (status 404): 404: Page Not Found." in said) == (3, True)
    assert "feature gate ContainerCheckpoint" in said


@pytest.mark.parametrize(
    ("fails", "remedy"),
    [
        (
            "rpc error: code = Unimplemented desc = unknown method CheckpointContainer",
            "containerd has checkpoints since",
        ),
        (
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            "The container may still be frozen",
        ),
        ("criu failed: type NOTIFY errno 0\x1b[2J", "log of the container engine"),
    ],
)
def test_the_words_of_the_engine_are_told(fake: Fake, url: str, tell: Tell, fails: str, remedy: str) -> None:
    fake.fails = fails
    code, said = tell(url)
    assert code == 3
    assert f"could not checkpoint {CONTAINER}: checkpointing of {CONTAINER} failed ({fails[:24]}" in said
    assert remedy in said


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (answers(200, "<html>"), "answers without a list of archives: '<html>'"),
        (answers(200, ""), "answers without a list of archives: ''"),
        (answers(200, '{"items": "/a"}'), "answers without a list of archives"),
        (answers(200, '{"items": [1]}'), "answers without a list of archives"),
        (answers(200, '{"items": ["\\ud800"]}'), "answers without a list of archives"),
        (answers(200, "[" * 100_000), "answers without a list of archives"),
        (answers(200, "\x1b[2J\nstillframe: verdict"), "answers without a list of archives"),
        (answers(200, "9" * (kubelet.MOST_ANSWER + 1)), "answers with more than 1,048,576 bytes"),
        (answers(500, "9" * (kubelet.MOST_ANSWER + 1)), "answers with more than 1,048,576 bytes"),
        (answers(500, "x\x07\n" * 100_000), "could not checkpoint"),
        (answers(200, '{"items": []}'), "names 0 archives, but one container has one. Check that"),
        (answers(200, '{"items": ["/a", "/b"]}'), "names 2 archives, but one container has one: /a, /b. Read each"),
        (answers(307, ""), "answers with status 307. Check that"),
        (answers(400, "Client sent an HTTP request to an HTTPS server."), "status 400: Client sent an HTTP request"),
        (raw(b""), "gave no answer in HTTP"),
        (raw(b"SSH-2.0-OpenSSH\r\n"), "gave no answer in HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), "gave no answer in HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "gave no answer in HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200), "gave no answer in HTTP"),
        (raw(b"HTTP/1.1 200 " + b"x" * 100_000), "gave no answer in HTTP"),
    ],
)
def test_any_other_answer_is_a_sentence(
    fake: Fake, url: str, tell: Tell, act: Callable[[Handler], None], said: str
) -> None:
    fake.act = act
    code, told = tell(url)
    assert code == 3
    assert said in told
    assert len(told) < 3 * kubelet.MOST_WORDS


def test_an_answer_that_does_not_come_ends_the_wait(
    fake: Fake, url: str, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(handler: Handler) -> None:
        fake.over.wait()

    def slow(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not fake.over.wait(0.05):
            handler.wfile.write(b"a")

    for name, seconds in (("LEAST_SECONDS", 0.0), ("SPARE_SECONDS", 0.0), ("CONNECT_SECONDS", 1.0)):
        monkeypatch.setattr(kubelet, name, seconds)
    for act in (silent, slow):
        fake.act = act
        code, said = tell(url, "--timeout", "1")
        assert (code, f"at {url} did not answer within 1 s. The container may still be" in said) == (3, True)


def test_an_answer_may_take_longer_than_a_connection(
    fake: Fake, url: str, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(handler: Handler) -> None:
        fake.over.wait(1.5)
        fake.act = None
        handler.do_POST()

    monkeypatch.setattr(kubelet, "CONNECT_SECONDS", 1.0)
    fake.act = slow
    assert main(["checkpoint", CONTAINER, "--kubelet", url, "--token", str(token)]) == 0


def test_who_interrupts_is_told_what_that_may_do(
    fake: Fake, url: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(handler: Handler) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        fake.over.wait()

    fake.act = interrupt
    assert main(["checkpoint", CONTAINER, "--kubelet", url, "--token", str(token)]) == 130
    assert capsys.readouterr().err == f"{kubelet.MAY_BE_FROZEN}\nstillframe: interrupted\n"


def test_who_cannot_be_reached_or_trusted_is_told_apart(
    fake: Fake, tmp_path: Path, tell: Tell, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(fake) as url:
        code, said = tell(url.replace("http:", "https:"))
        assert (code, "cannot be reached: wrong version number" in said) == (3, True)
    code, said = tell(url)
    assert (code, f"{url} cannot be reached: Connection refused. A kubelet listens on port 10250" in said) == (3, True)
    assert "No such file or directory" in tell(f"unix:{tmp_path}/nothing")[1]
    with socket.create_server(("127.0.0.1", 0)) as silent, monkeypatch.context() as patched:
        patched.setattr(kubelet, "CONNECT_SECONDS", 0.5)
        code, said = tell(f"https://localhost:{silent.getsockname()[1]}")
        assert (code, "cannot be reached: no connection within 0.5 s" in said) == (3, True)
    with serving(fake, tls=certificates.context()) as url:
        for options in ((), ("--ca", certificates["other-ca.crt"])):
            code, said = tell(url, *options)
            assert (code, "is not trusted: " in said, "Name the authority that signed it" in said) == (3, True, True)
        code, said = tell(url.replace("localhost", "127.0.0.1"), "--ca", certificates["ca.crt"])
        assert (code, "IP address mismatch, certificate is not valid for '127.0.0.1'. Use a name" in said) == (3, True)
    assert fake.asked == []


def test_only_a_file_in_the_folder_of_the_kubelet_is_read(
    fake: Fake, url: str, tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(plain("still-ledger"))
    (fake.folder / "link").symlink_to(secret)
    os.mkfifo(fake.folder / "pipe")
    wrong = {
        secret: f"which is not in {fake.folder}. If this is its folder of checkpoints, name it with --folder.",
        fake.folder / "../secret": f"which is not in {fake.folder}",
        fake.folder / "below/it": f"which is not in {fake.folder}",
        "secret": f"which is not in {fake.folder}",
        "": f"which is not in {fake.folder}",
        fake.folder / "link": "which is a symbolic link, not a regular file",
        fake.folder / "pipe": "which is a pipe, not a regular file",
        fake.folder / "..": "which is a folder, not a regular file",
    }
    for path, said in wrong.items():
        fake.act = items(path)
        code, told = tell(url)
        assert (code, said in told) == (2, True), told
    absent = {
        "checkpoint-web.tar": "Run this on the kubelet's node, or copy the archive from there",
        "a" * 300: "File name too long",
        "a\0b": "cannot be read",
        "\x1b[2J\nstillframe: verdict": "this machine has no",
    }
    for name, said in absent.items():
        fake.act = items(fake.folder / name)
        code, told = tell(url)
        assert (code, said in told) == (3, True), told


def test_the_folder_may_be_mounted_elsewhere(
    fake: Fake, url: str, tell: Tell, tmp_path: Path, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "a.tar").write_bytes(fake.archive)
    (mounted / "secret").symlink_to(tmp_path)
    options = ("--token", str(token), "--folder", str(mounted))
    fake.act = items("/data/kubelet/checkpoints/a.tar")
    assert main(["checkpoint", CONTAINER, "--kubelet", url, *options]) == 0
    capsys.readouterr()
    fake.act = items("/etc/secret")
    assert tell(url, *options)[0] == 2
    fake.act = items("/etc/shadow")
    assert tell(url, *options)[0] == 3


def test_files_that_cannot_be_used_are_named(
    fake: Fake, url: str, tell: Tell, tmp_path: Path, certificates: Certificates
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").write_text("")
    (tmp_path / "two").write_text("one two\nthree")
    secure = url.replace("http:", "https:")
    client, key = certificates["client.crt"], certificates["client.key"]
    wrong = [
        (url, ("--token", str(tmp_path / "none")), "none cannot be read: No such file or directory"),
        (url, ("--token", str(tmp_path / "pipe")), "pipe cannot be read: it is a pipe, not a regular file"),
        (url, ("--token", str(tmp_path / "empty")), "empty holds no token"),
        (url, ("--token", str(tmp_path / "two")), "two holds no token"),
        (url, ("--cert", client), f"--cert: {url} has no TLS"),
        (secure, ("--ca", str(tmp_path / "empty")), "empty holds no certificate in PEM form"),
        (secure, ("--key", key), "has no certificate. Name its certificate with --cert."),
        (secure, ("--cert", client), "cannot be used with the key in the same file"),
        (secure, ("--cert", client, "--key", certificates["ca.key"]), "key values mismatch"),
        (secure, ("--cert", client, "--key", certificates["locked.key"]), "the key must have no passphrase"),
    ]
    for where, options, said in wrong:
        code, told = tell(where, *options)
        assert (code, said in told) == (2, True), told
    assert fake.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "", "n1", "n1:10250", "ftp://n1", "https://", "https://n1:x", "https://n1:99999", "https://n1/?a=b", "http://n1",
        "https://n1/#a", "https://n1/a b", "https://n1/\x1b[2J", "https://[n1", "unix:", "unix:run/socket",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_wrong_usage(tell: Tell, url: str) -> None:
    code, said = tell(url)
    assert (code, "Name the kubelet as https://HOST:10250" in said) == (2, True)


def test_a_password_in_a_url_is_not_repeated(tell: Tell) -> None:
    code, said = tell("https://me:open@n1:10250")
    assert (code, "me:open" in said, "--kubelet https://...@n1:10250" in said) == (2, False, True)


@pytest.mark.parametrize(
    "words",
    [
        ["web"], ["default/web"], ["default/web/app/more"], ["default//app"], ["default/../app"], ["default/web/a?b"],
        ["default/WEB/app"], ["default/web/app\n"], [f"default/{'a' * 254}/app"], [CONTAINER, "--timeout", "0"],
        [CONTAINER, "--timeout", "-1"], [CONTAINER, "--timeout", "86401"], [CONTAINER, "--timeout", "9" * 30],
    ],
)  # fmt: skip
def test_wrong_words_reach_no_kubelet(fake: Fake, url: str, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["checkpoint", *words, "--kubelet", url])
    assert ended.value.code == 2
    assert fake.asked == []


def test_the_folder_is_the_published_one() -> None:
    assert declared.KUBELET_FOLDER == "/var/lib/kubelet/checkpoints"


def test_a_folder_that_is_none_is_told_before_the_kubelet_is_asked(
    fake: Fake, url: str, tmp_path: Path, tell: Tell
) -> None:
    code, said = tell(url, "--folder", str(tmp_path / "none"))
    assert (code, fake.asked) == (2, [])
    assert said == f"stillframe: --folder {tmp_path}/none is no folder. Name the kubelet's folder of checkpoints.\n"
