"""Start one process of an instance in place of this one: `python -m tools.instance.runner NAME`.

Called by supervisord and by the systemd units, with KALIBRI_HOME in the environment. It ends what an
earlier life of the process left behind, waits until what the process needs is ready, and becomes the
process (exec), which so has the pid that its supervisor knows. A restart therefore waits for the database
just as the first start does.

It runs for each process at every start, so it loads no more than that process needs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from callcore.errors import KalibriError
from kalibri import remembered
from kalibri.config import Config, load_config
from kalibri.heartbeat import forget_beat
from tools.instance import orphans
from tools.instance.processes import DATABASE, SYSTEM_PATH, Process, process, python_path

ASK_AGAIN_SECONDS = 0.3
#: How often a process that waits says for what.
SAY_SECONDS = 10.0

#: How long the database may be away before a process that can starts without it.
ALONE_AFTER_SECONDS = 15.0

#: What a process may see of the environment in which the instance was started; the rest is the person's own.
KEPT = ("HOME", "LANG", "TZ", "USER", "LOGNAME", "PGPASSFILE", orphans.SUPERVISOR)


def main(name: str) -> None:
    environ = _told()
    config = load_config(environ=environ)
    item = process(config, name)
    left_behind = orphans.end(config, name)
    if left_behind:
        _say(f"ended what an earlier {name} left behind: {left_behind}")
    if orphans.SUPERVISOR in environ:
        _write_files(config, environ)
    alone = bool(item.needs) and not wait_for(config, item)
    _prepare(config, name, alone=alone)
    environment = process_environment(config, item, environ)
    os.chdir(config.run_directory)
    sys.stdout.flush()
    argv = item.alone_argv if alone else item.argv
    os.execve(argv[0], argv, environment)


def _told() -> Mapping[str, str]:
    """What the instance was told: by systemd's unit, or by `ksinit up`, who wrote it down."""
    if orphans.SUPERVISOR in os.environ:
        return os.environ
    return remembered.recall(Path(os.environ["KALIBRI_HOME"]), os.environ)


def _write_files(config: Config, environ: Mapping[str, str]) -> None:
    from tools.instance import files

    files.write_files(config)
    files.write(remembered.remembered_file(config.home), remembered.to_text(environ))


def process_environment(config: Config, item: Process, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process: short, and with the mark by which orphans are known."""
    return {
        **{key: environ[key] for key in KEPT if key in environ},
        **remembered.settings(environ),
        "PATH": SYSTEM_PATH,
        "PYTHONPATH": python_path(),
        "PYTHONUNBUFFERED": "1",
        **item.environment,
        "KALIBRI_HOME": str(config.home),
        "KALIBRI_PROCESS": item.name,
    }


def wait_for(config: Config, item: Process) -> bool:
    """Return True when everything that the process needs is ready, however long that takes.

    False: the database stays away, all else is ready, and the process can start without it.
    """
    from tools.instance.probes import probe

    alone_at = time.monotonic() + ALONE_AFTER_SECONDS
    for need in item.needs:
        say_at = time.monotonic() + SAY_SECONDS
        while not (answer := probe(config, need)).ready:
            if item.alone_argv and need == DATABASE and time.monotonic() >= alone_at:
                others = [other for other in item.needs if other != DATABASE]
                if all(probe(config, other).ready for other in others):
                    _say(f"{item.name} starts without the database: {answer.detail}")
                    return False
            if time.monotonic() >= say_at:
                _say(f"{item.name} still waits for the {need}: {answer.detail}")
                say_at += SAY_SECONDS
            time.sleep(ASK_AGAIN_SECONDS)
    return True


def _prepare(config: Config, name: str, *, alone: bool) -> None:
    forget_beat(config.run_directory, name)
    if name == "kamailio":
        _prepare_proxy(config, alone=alone)
    if name == "postgres":
        from kalibri import pg_cluster

        pg_cluster.prepare(pg_cluster.PgCluster.of(config))


def _prepare_proxy(config: Config, *, alone: bool) -> None:
    """Make, or take over, what the proxy has in place of the database."""
    from tools.instance import alone as without_database

    if alone:
        without_database.prepare(config)
    elif without_database.is_alone(config):
        _say(without_database.take_over_if_possible(config))


def _say(text: str) -> None:
    sys.stderr.write(f"ksinit: {text}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KalibriError as error:
        _say(error.message)
        sys.exit(1)
