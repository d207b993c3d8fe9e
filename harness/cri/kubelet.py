"""The kubelet's checkpoint endpoint: a request over HTTP, and the archive that the kubelet wrote on its node.

https://kubernetes.io/docs/reference/node/kubelet-checkpoint-api/, and `pkg/kubelet/server/server.go` of Kubernetes
1.37 for the words of its answers. An answer is foreign input: it is bounded, and no path in it is followed blindly.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from harness.checkpoints.untrusted import Unreadable
from harness.foreign.files import WrongKind, open_regular, read_regular
from harness.foreign.patience import within
from harness.model.errors import StillframeError, UsageError

CONNECT_SECONDS = 10.0
LEAST_SECONDS = 120.0
"""The kubelet gives the engine at least this time (`runtimeRequestTimeout`), whatever the request says."""
SPARE_SECONDS = 30.0
"""We wait longer than the kubelet: if its client hangs up, it cancels the call, and the container may stay frozen."""
MOST_ANSWER = 1 << 20
MOST_WORDS = 2000
"""Characters shown of an error of the kubelet or of the engine behind it."""
HERE = ("localhost", "127.0.0.1", "::1")
FORMS = "https://HOST:10250, http://localhost:PORT of a proxy on this machine, or unix:/PATH"
WRONG_NAME, OUT_OF_TIME = (62, 64), (9, 10)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, FAILED = 200, 401, 403, 404, 500
MAY_BE_FROZEN = "The container may still be frozen: if its cgroup.freeze is 1, have its engine resume it."
NO_KUBELET = "Check that --kubelet names a kubelet."


class NoCheckpoint(StillframeError):
    """The kubelet made no checkpoint, or none that is here; the sentence says why."""


class Answer(BaseModel):
    """What the kubelet answers after a checkpoint."""

    items: list[str]


class Status(BaseModel):
    """What the API server answers instead, as a proxy before the kubelet."""

    message: str


@dataclass(frozen=True)
class Credentials:
    """Files that prove to each other who the kubelet and its client are, all in PEM form but the token."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token: Path | None = None


class Kubelet:
    """A kubelet, or a proxy before it."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        """Read the URL and the files; `UsageError` for what is wrong in them."""
        self.url = url
        self._address = _address(url)
        given = {f"--{name}": path for name, path in vars(credentials).items() if path is not None}
        for option, path in given.items():
            _check_file(option, path)
        tls = self._address.scheme == "https"
        if not tls and (name := next((each for each in given if each != "--token"), "")):
            raise UsageError(f"{name}: {url} has no TLS, which needs it", remedy="Leave it out, or use https.")
        self._context = _context(credentials) if tls else None
        self._headers = {"Accept": "application/json", "User-Agent": "stillframe"}
        if credentials.token:
            self._headers["Authorization"] = f"Bearer {_token(credentials.token)}"

    def checkpoint(self, container: str, *, seconds: int) -> str:
        """Have NAMESPACE/POD/CONTAINER checkpointed, and return the path that the kubelet says it wrote.

        Raises `UsageError` if there is no such container, and `NoCheckpoint`.
        """
        wait = max(seconds, LEAST_SECONDS) + SPARE_SECONDS
        what = f"the kubelet at {self.url} did not answer within {wait:.0f} s"
        late = NoCheckpoint(what, remedy=MAY_BE_FROZEN)
        with within(CONNECT_SECONDS + wait, late), self._connected() as connection:
            connection.timeout = wait
            status, body = self._ask(connection, f"{self._address.path}/checkpoint/{container}?timeout={seconds}", late)
        if len(body) > MOST_ANSWER:
            raise NoCheckpoint(f"the kubelet at {self.url} answers with more than {MOST_ANSWER:,} bytes")
        if status != OK:
            self._decline(container, status, _words(body))
        try:
            items = Answer.model_validate_json(body).items
        except ValueError as error:
            what = f"the kubelet at {self.url} answers without a list of archives: {_cut(body)!r}"
            raise NoCheckpoint(what, remedy=NO_KUBELET) from error
        if len(items) != 1:
            said = f": {_cut(', '.join(items))}" if items else ""
            what = f"the kubelet at {self.url} names {len(items)} archives, but one container has one{said}"
            raise NoCheckpoint(what, remedy="Read each with `stillframe inspect`." if items else NO_KUBELET)
        return items[0]

    @contextlib.contextmanager
    def _connected(self) -> Iterator[HTTPConnection]:
        """Give a connection; `NoCheckpoint` if there is none."""
        at_socket = self._address.scheme == "unix"  # whose path may look like a host and a port
        host, port = ("localhost", None) if at_socket else (self._address.hostname or "", self._address.port)
        if self._context:
            connection: HTTPConnection = HTTPSConnection(host, port, timeout=CONNECT_SECONDS, ssl_context=self._context)
        else:
            connection = HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        with contextlib.closing(connection):
            try:
                if at_socket:
                    connection.sock = socket.socket(socket.AF_UNIX)
                    connection.sock.settimeout(CONNECT_SECONDS)
                    connection.sock.connect(self._address.netloc)
                else:
                    connection.connect()
            except ssl.SSLCertVerificationError as error:
                raise self._distrusted(error) from error
            except (HTTPError, OSError) as error:
                what = f"the kubelet at {self.url} cannot be reached: {_reason(error)}"
                remedy = "" if at_socket else "A kubelet listens on port 10250 of its node."
                raise NoCheckpoint(what, remedy=remedy) from error
            yield connection

    def _distrusted(self, error: ssl.SSLCertVerificationError) -> NoCheckpoint:
        if error.verify_code in WRONG_NAME:
            remedy = "Use a name or an address that its certificate has, usually that of its node."
        elif error.verify_code in OUT_OF_TIME:
            remedy = "Renew it, or look whether the clocks agree."
        else:
            remedy = "Name the authority that signed it with --ca, on a node often /var/lib/kubelet/pki/kubelet.crt."
        told = error.verify_message.rstrip(".")
        return NoCheckpoint(f"the certificate of the kubelet at {self.url} is not trusted: {told}", remedy=remedy)

    def _ask(self, connection: HTTPConnection, path: str, late: NoCheckpoint) -> tuple[int, bytes]:
        """Send the request, and return status and content of the answer, of which only the beginning is read."""
        try:
            connection.request("POST", path, headers=self._headers, preload_content=False, decode_content=False)
            with connection.getresponse() as response:
                body = b""
                while len(body) <= MOST_ANSWER and (more := response.read(MOST_ANSWER + 1 - len(body))):
                    body += more
                return response.status, body
        except (TimeoutError, ReadTimeoutError) as error:
            raise late from error
        except (OSError, HTTPException, HTTPError) as error:
            what = f"the kubelet at {self.url} gave no answer in HTTP: {_reason(error)}"
            raise NoCheckpoint(what, remedy=MAY_BE_FROZEN) from error

    def _decline(self, container: str, status: int, words: str) -> NoReturn:
        """Raise the error that an answer other than 200 means."""
        kubelet = f"the kubelet at {self.url}"
        said = f": {words}" if words else ""
        if status == UNAUTHORIZED:
            remedy = "Give --cert and --key, or --token, of a user that it knows."
            raise NoCheckpoint(f"{kubelet} does not know who asks (status 401){said}", remedy=remedy)
        if status == FORBIDDEN:
            remedy = "The user needs the right to create `nodes/checkpoint`, or `nodes/proxy` through the API server."
            raise NoCheckpoint(f"{kubelet} does not allow it (status 403){said}", remedy=remedy)
        if status == NOT_FOUND and (not words or "page not found" in words.lower()):
            remedy = "It needs Kubernetes 1.25 and the feature gate ContainerCheckpoint, which is on since 1.30."
            raise NoCheckpoint(f"{kubelet} has no checkpoint endpoint (status 404){said}", remedy=remedy)
        if status == NOT_FOUND:
            remedy = "`kubectl get pods --all-namespaces --output wide` lists the pods of each node."
            raise UsageError(f"{kubelet} does not know {container}{said}", remedy=remedy)
        if status != FAILED:
            what = f"{kubelet} answers with status {status}{said}"
            raise NoCheckpoint(what, remedy=NO_KUBELET)
        if "unknown method" in words or "not implemented" in words.lower():
            remedy = "containerd has checkpoints since 2.0, and CRI-O since 1.25, with enable_criu_support."
        elif "deadline" in words.lower():
            remedy = f"Give it more time with --timeout. {MAY_BE_FROZEN}"
        else:
            remedy = "The log of the container engine on the node says more."
        raise NoCheckpoint(f"{kubelet} could not checkpoint {container}{said}", remedy=remedy)


def locate(said: str, *, usual: PurePosixPath, here: Path | None) -> Path:
    """Return where this machine has the archive that the kubelet names: in `here`, or in its `usual` folder.

    Raises `Unreadable` if the archive is elsewhere or no regular file, `NoCheckpoint` if it is not here.
    """
    path = PurePosixPath(said)
    if here is None and path.parent != usual:
        remedy = "If this is its folder of checkpoints, name it with --folder."
        raise Unreadable(f"the kubelet names {_cut(said)}, which is not in {usual}", remedy=remedy)
    found = (here or Path(usual)) / path.name
    try:
        os.close(open_regular(found))
    except WrongKind as error:
        raise Unreadable(f"the kubelet names {_cut(str(found))}, which is {error.kind}, not a regular file") from error
    except FileNotFoundError as error:
        what = f"the kubelet wrote {_cut(said)}, but this machine has no {_cut(str(found))}"
        remedy = "Run this on the kubelet's node, or copy the archive from there and use `stillframe inspect`."
        raise NoCheckpoint(what, remedy=remedy) from error
    except (OSError, ValueError) as error:
        remedy = "On its node, root can read it."
        raise NoCheckpoint(f"{_cut(str(found))} cannot be read: {_reason(error)}", remedy=remedy) from error
    return found


def _address(url: str) -> SplitResult:
    """Split the URL; the path of a socket becomes its host, and a path ends without a slash."""

    def wrong(why: str) -> UsageError:
        shown = re.sub("//.*@", "//...@", url)  # a password may stand there
        return UsageError(f"--kubelet {shown}: {why}", remedy=f"Name the kubelet as {FORMS}.")

    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise wrong("the path of the socket does not begin with /")
        return SplitResult("unix", path, "", "", "")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise wrong(str(error)) from error
    if parts.scheme not in ("http", "https") or not host:
        raise wrong("it is not a URL with a host")
    if "@" in parts.netloc or parts.query or parts.fragment or not (url.isascii() and url.isprintable()) or " " in url:
        raise wrong("it may have a host, a port and a path, and nothing else")
    if parts.scheme == "http" and host not in HERE:
        raise wrong("without TLS, anyone on the way could change the answer")
    return parts._replace(path=parts.path.rstrip("/"))


def _check_file(option: str, path: Path) -> None:
    """Raise `UsageError` for a file that cannot be read; OpenSSL would wait for a pipe."""
    try:
        os.close(open_regular(path.resolve()))
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read: {_reason(error)}") from error


def _context(given: Credentials) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=given.ca)
    except ssl.SSLError as error:
        raise UsageError(f"--ca {given.ca} holds no certificate in PEM form") from error
    if given.key and not given.cert:
        raise UsageError(f"--key {given.key} has no certificate", remedy="Name its certificate with --cert.")
    if given.cert:
        try:
            context.load_cert_chain(given.cert, given.key, password=lambda: "")  # it would ask the terminal for one
        except (ssl.SSLError, ValueError) as error:
            key = f"--key {given.key}" if given.key else "the key in the same file"
            remedy = "Both must be in PEM form and belong together, and the key must have no passphrase."
            raise UsageError(
                f"--cert {given.cert} cannot be used with {key}: {_reason(error)}", remedy=remedy
            ) from error
    return context


def _token(path: Path) -> str:
    try:
        token = read_regular(path.resolve()).decode("ascii").strip()
    except (OSError, ValueError):
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise UsageError(f"--token {path} holds no token", remedy="The file must hold one word, the token.")
    return token


def _words(body: bytes) -> str:
    """Return what an answer says, shortened."""
    with contextlib.suppress(ValueError):
        return _cut(Status.model_validate_json(body).message)
    return _cut(body)


def _cut(text: str | bytes) -> str:
    text = text[: 4 * MOST_WORDS].decode(errors="replace") if isinstance(text, bytes) else text
    line = " ".join(text.split())
    return line if len(line) <= MOST_WORDS else f"{line[:MOST_WORDS]}..."


def _reason(error: Exception) -> str:
    """Return why something failed, without the names of Python's objects."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    cause = error.__cause__ if isinstance(error, HTTPError) and isinstance(error.__cause__, OSError) else error
    if isinstance(cause, TimeoutError) and not cause.strerror:
        return f"no connection within {CONNECT_SECONDS:g} s"
    return _cut(getattr(cause, "strerror", None) or str(cause))
