"""A real ks-index of a test: its own process, home and index directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kalibri.config import PROJECT_ROOT, Config
from kalibri.db import Conn
from kalibri.index_dir import Current, read_current
from kalibri.services.route_live import last_change
from tests.support.waiting import wait_until

#: A loaded machine of two cores needs patience; what must be fast is measured by the test itself.
PATIENCE_SECONDS = 30.0


class IndexDaemon:
    """A running ks-index and the directory that it keeps."""

    def __init__(self, config: Config, process: subprocess.Popen[bytes], log: Path) -> None:
        self.config = config
        self.process = process
        self.log = log

    @property
    def directory(self) -> Path:
        """The index directory."""
        return self.config.index_directory

    @property
    def current(self) -> Current:
        """What is in force."""
        current = read_current(self.directory)
        assert current is not None
        return current

    def log_text(self) -> str:
        """Everything that the process said."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until(
        self, condition: Callable[[], object], what: str, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> float:
        """Wait until something is so; return how long that took, in seconds."""
        started = time.monotonic()
        try:
            wait_until(lambda: condition() or self.process.poll() is not None, what, patience_seconds)
            assert condition(), f"ks-index has ended, not so: {what}"
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_text()}") from error
        return time.monotonic() - started

    def until_live(self, conn: Conn, *, patience_seconds: float = PATIENCE_SECONDS) -> float:
        """Wait until everything that is saved is in force; return how long that took."""
        wanted = last_change(conn)

        def live() -> bool:
            current = read_current(self.directory)
            return current is not None and current.seq >= wanted

        return self.until(live, f"change {wanted} is in force", patience_seconds=patience_seconds)

    def builders(self) -> list[int]:
        """Return the pids of this daemon's builder processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """End it as `kill -9` would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_index(config: Config, **environment: str) -> Iterator[IndexDaemon]:
    """Run ks-index for an instance; further KALIBRI_ variables may be given."""
    config.home.mkdir(parents=True, exist_ok=True)
    log = config.home / f"ks-index-{time.monotonic_ns()}.log"
    variables = {"KALIBRI_DATABASE_DSN": config.database_dsn, **environment}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.ks_index", "--home", str(config.home)],
            cwd=PROJECT_ROOT,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    daemon = IndexDaemon(config, process, log)
    try:
        yield daemon
    finally:
        if process.poll() is None:
            daemon.stop()
