"""ksinit with every process real: up, status, what is killed comes back, down leaves nothing."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kalibri.config import PROJECT_ROOT
from tests.support.fix_instance import Instance, statuses_of
from tools.instance.supervisord import Supervisor, pid_file
from tools.instance.watch import Watch

ALL = [
    *("postgres", "rtp-1", "rtp-2", "rtpc-1", "rtpc-2", "media-1", "stun", "ks-index", "kamailio"),
    *("ks-cdr", "ks-acd", "ks-dial", "ks-rec", "ks-ears", "ks-api", "ks-worker", "watch"),
]


@pytest.fixture(scope="module")
def shared(_swept: None) -> Iterator[Instance]:
    """One instance for the tests that leave it as they found it: up."""
    yield from _instance()


@pytest.fixture(scope="module")
def other(_swept: None) -> Iterator[Instance]:
    """Another instance, for the tests that end it one way or another: each brings it up if it needs that."""
    yield from _instance()


def _instance() -> Iterator[Instance]:
    instance = Instance()
    try:
        instance.up()
        yield instance
    finally:
        instance.remove()


def test_status_shows_every_process_ready(shared: Instance) -> None:
    done = shared.ksinit("status", "-o", "json")
    assert done.returncode == 0, done.stdout
    rows = statuses_of(done)
    assert list(rows) == ALL
    assert all(row["ready"] and row["state"] in ("RUNNING", "STARTING") for row in rows.values())
    assert rows["kamailio"]["detail"] == "OPTIONS 200 OK"


def test_status_finds_what_up_was_told(shared: Instance) -> None:
    done = shared.ksinit("status", "-o", "csv", told=False)
    assert done.returncode == 0, done.stdout
    assert [row["ready"] for row in csv.DictReader(done.stdout.splitlines())] == ["true"] * len(ALL)


def test_ksctl_finds_what_up_was_told(shared: Instance) -> None:
    environ = {name: value for name, value in shared.environ.items() if not name.startswith("KALIBRI_")}
    command = [sys.executable, "-m", "tools.ksctl.main", "--home", str(shared.home), "schema", "check"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_up_again_changes_nothing(shared: Instance) -> None:
    before = {name: row.pid for name, row in shared.statuses().items()}
    shared.up()
    assert {name: row.pid for name, row in shared.statuses().items()} == before


@pytest.mark.parametrize("name", ALL)
def test_a_killed_process_is_back_within_seconds(shared: Instance, name: str) -> None:
    pid = shared.pid(name)
    os.kill(pid, signal.SIGKILL)
    shared.wait_back(name, pid)
    assert all(row.ready for row in shared.statuses().values())


def test_a_killed_kamailio_worker_restarts_the_whole_proxy(shared: Instance) -> None:
    pid = shared.pid("kamailio")
    worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(worker, signal.SIGKILL)
    shared.wait_back("kamailio", pid)


def test_restart_gives_a_process_a_new_life(shared: Instance) -> None:
    pid = shared.pid("ks-cdr")
    done = shared.ksinit("restart", "ks-cdr")
    assert done.returncode == 0, done.stderr
    assert shared.pid("ks-cdr") != pid


def test_a_process_that_hangs_is_restarted_by_the_watch(shared: Instance) -> None:
    pid = shared.wait_running("rtp-2")
    os.kill(pid, signal.SIGSTOP)
    watch = Watch(shared.config, Supervisor(shared.config))
    assert watch.round(now=0.0) == []
    assert watch.round(now=29.0) == []
    assert watch.round(now=31.0) == ["rtp-2"]
    shared.wait_back("rtp-2", pid)


def test_a_stopped_process_is_left_alone_by_the_watch(shared: Instance) -> None:
    for name in ALL:
        shared.wait_running(name)
    supervisor = Supervisor(shared.config)
    supervisor.stop("stun")
    watch = Watch(shared.config, supervisor)
    assert [watch.round(now) for now in (0.0, 100.0, 200.0)] == [[], [], []]
    assert shared.ksinit("status").returncode == 1
    shared.up()
    assert shared.ksinit("status").returncode == 0


def test_logs_shows_the_end_of_a_log(shared: Instance) -> None:
    done = shared.ksinit("logs", "postgres", "-n", "1000")
    assert "database system is ready to accept connections" in done.stdout


def test_an_unknown_process_is_not_found(shared: Instance) -> None:
    done = shared.ksinit("restart", "nobody")
    assert (done.returncode, "no process nobody" in done.stderr) == (3, True)


def test_two_instances_do_not_meet_and_down_leaves_no_process(shared: Instance, other: Instance) -> None:
    assert len(other.processes()) > len(ALL)
    done = other.ksinit("down", told=False)
    assert done.returncode == 0, done.stderr
    assert other.processes() == []
    assert not any(row.ready for row in other.statuses().values())
    assert all(row.ready for row in shared.statuses().values())


def test_what_a_killed_supervisord_left_is_taken_over(other: Instance) -> None:
    other.up()
    pids = {name: row.pid for name, row in other.statuses().items()}
    os.kill(int(pid_file(other.config).read_text()), signal.SIGKILL)
    other.up()
    after = other.statuses()
    assert all(after[name].pid != pid for name, pid in pids.items())
    assert other.ksinit("down").returncode == 0
    assert other.processes() == []


def test_a_port_in_use_is_named(other: Instance) -> None:
    other.ksinit("down")
    port = other.config.proxy.sip_port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        done = other.ksinit("up")
    assert done.returncode == 4
    assert f"proxy.sip_port: port {port}/udp of 127.0.0.1 is in use" in done.stderr


def test_a_process_that_cannot_start_is_shown_with_its_log(other: Instance) -> None:
    other.ksinit("down")
    certificate = ("--set", "proxy.tls_certificate=none.pem", "--set", "proxy.tls_private_key=none.key")
    done = other.ksinit(*certificate, "up")
    assert done.returncode == 1
    assert "kamailio is not ready" in done.stderr
    assert "none.pem" in done.stderr
    other.ksinit("down")


def test_the_launcher_works_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROJECT_ROOT / "ksinit", "--home", "no-such-home", "status", "-o", "csv"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("process,state,pid")
    assert not (tmp_path / "no-such-home").exists()
