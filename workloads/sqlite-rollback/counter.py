"""A counter in SQLite: in one row of one table, and as the newest rows of another one."""

import sqlite3
from pathlib import Path

from lines import Damaged

DATABASE = Path("/data/counter.db")
KEPT = 500
"""Rows of the second table."""
FILLER = "x" * 200


class Counter:
    """An open database."""

    def __init__(self, journal: str = "") -> None:
        """Open the database; with a `journal` make it first, with that journal mode."""
        self.database = sqlite3.connect(DATABASE, isolation_level=None)
        if journal:
            self.database.execute(f"PRAGMA journal_mode = {journal}")
            self.database.execute("PRAGMA synchronous = FULL")
            self.database.execute("CREATE TABLE newest (n INTEGER)")
            self.database.execute("CREATE TABLE ticks (n INTEGER PRIMARY KEY, filler TEXT)")
            self.database.execute("INSERT INTO newest VALUES (0)")

    def tick(self, n: int) -> None:
        """Commit a tick."""
        self.database.execute("BEGIN IMMEDIATE")
        self.database.execute("UPDATE newest SET n = ?", (n,))
        self.database.execute("INSERT INTO ticks VALUES (?, ?)", (n, FILLER))
        self.database.execute("DELETE FROM ticks WHERE n <= ?", (n - KEPT,))
        self.database.execute("COMMIT")

    def read(self) -> int:
        """Return the newest tick; raise `Damaged` if the two tables or SQLite itself tell of damage."""
        try:
            ((newest,),) = self.database.execute("SELECT n FROM newest")
            ((last, rows),) = self.database.execute("SELECT coalesce(max(n), 0), count(*) FROM ticks")
            found = [text for (text,) in self.database.execute("PRAGMA integrity_check(3)") if text != "ok"]
        except (sqlite3.DatabaseError, ValueError) as error:
            raise Damaged(f"{type(error).__name__}: {error}") from error
        if found:
            raise Damaged("; ".join(found))
        if (last, rows) != (newest, min(newest, KEPT)):
            raise Damaged(f"the newest tick is {newest}, the last row is {last}, and there are {rows} rows")
        return int(newest)
