"""ks-rec as processes: a real one that can be killed, and one that kills itself between two effects.

python -m tests.support.rec_process N     works like `ks_rec --once`, and is gone at the N-th point
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from kalibri.config import PROJECT_ROOT, Config, load_config
from kalibri.db import Conn
from kalibri.recording_spool import Spool
from kalibri.services import recording_pipeline as pipeline
from tools.rec.controllers import Controllers
from tools.rec.intake import Intake
from tools.rec.worker import Worker, is_alive, open_connection

STOP_SECONDS = 30


class RecProcess:
    """A real ks-rec."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self.log = Path(environment["KALIBRI_HOME"]) / "ks-rec.log"
        self.start()

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.ks_rec"], cwd=PROJECT_ROOT, env=self._environment, stderr=log
            )

    def children(self) -> list[int]:
        """Return its workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in path.read_text().split()]
        except FileNotFoundError:
            return []

    def kill(self) -> None:
        """End it as `kill -9` would; its workers go with it."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stop it in order; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


def run_until(point: int, environment: Mapping[str, str]) -> tuple[bool, str]:
    """Work until the N-th point; return whether it came so far, and which point that was."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.rec_process", str(point)],
        cwd=PROJECT_ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0, done.stdout.strip()


def intake(config: Config, conn: Conn) -> None:
    """Take in what is complete."""
    spool = Spool.of(config)
    spool.prepare()
    Intake(spool, config.node_name, Controllers(config.run_directory).know, time.monotonic).look(conn)


def main() -> None:
    """Work, and be gone at the point of the command line."""
    last, config = int(sys.argv[1]), load_config()
    passed = 0

    def notice(what: str) -> None:
        nonlocal passed
        passed += 1
        if passed == last:
            print(what, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    with (
        contextlib.closing(open_connection(config, "test")) as conn,
        contextlib.closing(Worker(config, notice=notice)) as worker,
    ):
        intake(config, conn)
        pipeline.forsake(conn, host=config.node_name, is_alive=is_alive)
        while pipeline.backlog(conn, host=config.node_name).waiting:
            worker.work()


if __name__ == "__main__":
    main()
