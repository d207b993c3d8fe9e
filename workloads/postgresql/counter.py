"""A counter in PostgreSQL: in one row of one table, and as the newest rows of another one."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg2
from lines import Damaged

FOLDER = Path("/data/postgresql")
(PROGRAMS,) = Path("/usr/lib/postgresql").glob("*/bin")
SHARED = Path("/usr/share/postgresql") / PROGRAMS.parent.name
OWN = Path("/tmp/postgresql")
KEPT = 300
START_SECONDS = 20.0
CHECK = "SELECT count(*) FROM verify_heapam('ticks') UNION ALL SELECT count(*) FROM verify_heapam('newest')"


class Counter:
    """A server over the files in `FOLDER`, and a connection to it."""

    def __init__(self) -> None:
        """Start the server, and wait until it has read its files; make them first if there are none."""
        user = pwd.getpwnam("postgres")
        OWN.mkdir(exist_ok=True)
        told = {"LD_PRELOAD": "libuid_wrapper.so", "UID_WRAPPER": "1"}
        told |= dict.fromkeys(("UID_WRAPPER_INITIAL_RUID", "UID_WRAPPER_INITIAL_EUID"), str(user.pw_uid))
        server = OWN / "postgres"
        lines = "\n".join(f"export {name}={value}" for name, value in told.items())
        server.write_text(f'#!/bin/sh\n{lines}\nexec {PROGRAMS}/postgres "$@"\n')
        server.chmod(0o755)
        new = not FOLDER.exists()
        if new:
            FOLDER.mkdir()
            os.chown(FOLDER, user.pw_uid, user.pw_gid)
            FOLDER.chmod(0o700)
            shutil.copy(PROGRAMS / "initdb", OWN)  # it has the server beside it say what version it is
            argv = [OWN / "initdb", "-L", SHARED, "-D", FOLDER, "--auth=trust", "--username=postgres", "--no-sync"]
            subprocess.run(argv, env=os.environ | told, stdout=subprocess.DEVNULL, check=True)
        else:
            os.chown(FOLDER, user.pw_uid, user.pw_gid)
            FOLDER.chmod(0o700)
            for name in ("postmaster.pid", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
                (FOLDER / name).unlink(missing_ok=True)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(OWN),
            "shared_buffers": "1MB",
            "max_connections": "5",
            "dynamic_shared_memory_type": "mmap",
            "autovacuum": "off",
            "max_worker_processes": "0",
            "max_logical_replication_workers": "0",
        }
        argv = [server, "-D", FOLDER, *(word for name, value in options.items() for word in ("-c", f"{name}={value}"))]
        with (OWN / "log").open("wb") as log:
            self.server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._connect()
        if new:
            self.ask("CREATE EXTENSION amcheck")
            self.ask("CREATE TABLE newest (n BIGINT)")
            self.ask("CREATE TABLE ticks (n BIGINT PRIMARY KEY, filler TEXT)")
            self.ask("INSERT INTO newest VALUES (0)")

    def _connect(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.line = psycopg2.connect(host=str(OWN), user="postgres", dbname="postgres")
                self.line.autocommit = True
                return
            except psycopg2.OperationalError as error:
                if self.server.poll() is not None or time.monotonic() > end:
                    said = (OWN / "log").read_text(errors="replace").splitlines()
                    raise Damaged(" / ".join([str(error), *said[-2:]])) from error
                time.sleep(0.05)

    def ask(self, query: str, *values: object) -> list[tuple[int, ...]]:
        """Execute a query, and return its rows."""
        with self.line.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def tick(self, n: int) -> None:
        """Commit a tick."""
        update = "BEGIN; UPDATE newest SET n = %s; INSERT INTO ticks VALUES (%s, repeat('x', 100));"
        self.ask(f"{update} DELETE FROM ticks WHERE n <= %s; COMMIT", n, n, n - KEPT)

    def read(self) -> int:
        """Return the newest tick; raise `Damaged` if tables or amcheck tell of damage."""
        try:
            ((newest,),) = self.ask("SELECT n FROM newest")
            ((last, rows),) = self.ask("SELECT coalesce(max(n), 0), count(*) FROM ticks")
            faults = sum(count for (count,) in self.ask(CHECK))
        except (psycopg2.Error, ValueError) as error:
            raise Damaged(f"{type(error).__name__}: {error}") from error
        if faults or (last, rows) != (newest, min(newest, KEPT)):
            what = f"the newest tick is {newest}, the last row is {last}, there are {rows} rows"
            raise Damaged(f"{what}, and amcheck tells of {faults} faults")
        return int(newest)

    def end(self) -> None:
        """End the server, which disconnects everybody."""
        self.server.send_signal(signal.SIGINT)
        self.server.wait()
