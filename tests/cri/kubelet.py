"""A kubelet in this process: it follows the published checkpoint API, or answers as it is told."""

from __future__ import annotations

import contextlib
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.host.process import HOST

TOKEN = "sesame"
CONTAINER = "default/web/app"
Act = Callable[["Handler"], None]


@dataclass
class Fake:
    """What the kubelet knows, and what it was asked."""

    folder: Path
    """Where it writes archives."""
    archive: bytes = b""
    act: Act | None = None
    """What it does instead of what the API says."""
    fails: str = ""
    """The engine's error."""
    enabled: bool = True
    """The feature gate ContainerCheckpoint."""
    allowed: bool = True
    asked: list[str] = field(default_factory=list)
    timeouts: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    """Set when nobody waits for an answer any more."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request, in the words of Kubernetes 1.37."""

    protocol_version = "HTTP/1.1"
    fake: Fake

    def do_POST(self) -> None:
        self.close_connection = True
        url = urlsplit(self.path)
        self.fake.asked.append(url.path)
        self.fake.timeouts += parse_qs(url.query).get("timeout", [])
        if self.fake.act:
            self.fake.act(self)
        else:
            self.say(*self._checkpoint(url.path))

    def _checkpoint(self, path: str) -> tuple[int, str]:
        named = path.removeprefix("/checkpoint/")
        namespace, pod, container = named.split("/")
        declined = {
            (401, "Unauthorized"): not self._user(),
            (403, f"Forbidden (user={self._user()}, verb=create, resource=nodes, subresource(s)=[checkpoint])"): (
                not self.fake.allowed
            ),
            (404, "404: Page Not Found"): not self.fake.enabled,
            (404, "pod does not exist"): not CONTAINER.startswith(f"{namespace}/{pod}/"),
            (404, f"container {container} does not exist"): named != CONTAINER,
            (500, f"checkpointing of {named} failed ({self.fake.fails})"): self.fake.fails,
        }
        if answer := next((answer for answer, holds in declined.items() if holds), None):
            return answer
        archive = self.fake.folder / f"checkpoint-{pod}_{namespace}-{container}-2026-11-29T19:00:00Z.tar"
        archive.write_bytes(self.fake.archive)
        archive.chmod(0o600)
        return 200, json.dumps({"items": [str(archive)]})

    def _user(self) -> str:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return "token"
        given = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        names: Any = given.get("subject", ()) if given else ()
        return str(dict(pair for part in names for pair in part).get("commonName", ""))

    def say(self, status: int, text: str | bytes) -> None:
        """Answer with a status and a text."""
        content = text.encode() if isinstance(text, str) else text
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Quiet(socketserver.ThreadingMixIn):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients hang up here."""


class _Tcp(_Quiet, socketserver.TCPServer):
    pass


class _Unix(_Quiet, socketserver.UnixStreamServer):
    pass


@contextlib.contextmanager
def serving(fake: Fake, *, tls: ssl.SSLContext | None = None, socket: Path | None = None) -> Iterator[str]:
    """Serve, with TLS or on a socket if they are given; gives the URL."""
    handler = type("Own", (Handler,), {"fake": fake})
    server: socketserver.BaseServer
    if socket:
        server, url = _Unix(str(socket), handler), f"unix:{socket}"
    else:
        tcp = _Tcp(("127.0.0.1", 0), handler)
        url = f"{'https' if tls else 'http'}://localhost:{tcp.server_address[1]}"
        if tls:
            tcp.socket = tls.wrap_socket(tcp.socket, server_side=True)
        server = tcp
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield url
    finally:
        fake.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Certificates:
    """An authority, and certificates that it has signed, made anew in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sign("ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._sign("other-ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        by = ("-CA", self["ca.crt"], "-CAkey", self["ca.key"], "-addext", "basicConstraints=critical,CA:FALSE")
        self._sign("kubelet", *by, "-addext", "subjectAltName=DNS:localhost")
        self._sign("client", *by)
        HOST.run(
            ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", self["client.key"], "-out", self["locked.key"]]
        )
        both = Path(self["client.crt"]).read_bytes() + Path(self["client.key"]).read_bytes()
        (folder / "client.pem").write_bytes(both)

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def context(self) -> ssl.SSLContext:
        """Return what the kubelet serves with: it asks for a client's certificate, and does not insist."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self["ca.crt"])
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(self["kubelet.crt"], self["kubelet.key"])
        return context

    def _sign(self, name: str, *more: str) -> None:
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        files = ["-keyout", self[f"{name}.key"], "-out", self[f"{name}.crt"]]
        HOST.run(["openssl", "req", "-x509", *new, *files, "-subj", f"/CN={name}", *more])
