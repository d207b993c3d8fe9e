"""A counter in Valkey, whose append-only file has each write."""

import socket
import subprocess
import time
from pathlib import Path

FOLDER = Path("/data/valkey")
START_SECONDS = 20.0


class Counter:
    """A server over the files in `FOLDER`, and a connection to it."""

    def __init__(self, address: str) -> None:
        """Start the server, which listens at the unix socket `address`, and wait until it has read its files."""
        FOLDER.mkdir(exist_ok=True)
        options = {
            "dir": FOLDER,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "port": 0,
            "unixsocket": address,
            "logfile": "/tmp/valkey.log",
            "aof-load-truncated": "yes",
        }
        argv = ["valkey-server", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
        nothing = subprocess.DEVNULL
        self.server = subprocess.Popen(argv, stdin=nothing, stdout=nothing, stderr=nothing)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.line = socket.socket(socket.AF_UNIX)
                self.line.connect(address)
                self.answers = self.line.makefile("rb")
                self.ask("GET", "counter")
                return
            except (OSError, RuntimeError):
                if self.server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def ask(self, *words: str) -> bytes:
        """Send a command, and return its answer, empty for none (RESP, the protocol of Redis)."""
        sent = b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
        self.line.sendall(b"*%d\r\n%s" % (len(words), sent))
        said = self.answers.readline()
        if said[:1] == b"-":
            raise RuntimeError(said[1:].decode().strip())
        if said[:1] == b"$":
            size = int(said[1:])
            return self.answers.read(size + 2)[:size] if size >= 0 else b""
        return said[1:].strip()

    def tick(self, n: int) -> None:
        """Write a tick."""
        self.ask("SET", "counter", str(n))

    def read(self) -> int:
        """Return the newest tick that the server has."""
        return int(self.ask("GET", "counter") or 0)

    def end(self) -> None:
        """End the server, which writes down what is left."""
        self.server.terminate()
        self.server.wait()
