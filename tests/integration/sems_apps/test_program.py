"""A media host as a process: ready by OPTIONS without any database, silent to strangers, ended in order by SIGTERM."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalibri.config import Config, load_config
from kalibri.heartbeat import read_beat
from tests.support.net_ports import free_port
from tests.support.sip_phone import Phone
from tools.instance import probes
from tools.instance.processes import process


@pytest.fixture
def config(tmp_path: Path) -> Config:
    environ = {
        "KALIBRI_HOME": str(tmp_path),
        "KALIBRI_MEDIA_BASE_PORT": str(free_port()),
        "KALIBRI_RTP_CONTROLLER_BASE_PORT": str(free_port()),
        "KALIBRI_DATABASE_PORT": str(free_port()),
        "KALIBRI_MEDIA_STOP_SECONDS": "1",
    }
    (tmp_path / "etc").mkdir()
    return load_config(environ=environ)


@pytest.fixture
def program(config: Config) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, *process(config, "media-1").argv[1:]]
    environ = os.environ | {
        "KALIBRI_MEDIA_BASE_PORT": str(config.media.base_port),
        "KALIBRI_RTP_CONTROLLER_BASE_PORT": str(config.rtp.controller_base_port),
        "KALIBRI_DATABASE_PORT": str(config.database.port),
        "KALIBRI_MEDIA_STOP_SECONDS": "1",
    }
    running = subprocess.Popen(argv, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def wait_ready(config: Config, program: subprocess.Popen[str]) -> probes.Answer:
    for _ in range(200):
        answer = probes.probe(config, "media-1")
        if answer.ready or program.poll() is not None:
            return answer
        select.select([], [], [], 0.1)  # not a fixed wait: ends with the answer or with the process
    raise AssertionError(answer)


def test_it_is_ready_without_database_and_ends_in_order(
    config: Config, program: subprocess.Popen[str], make_phone: Callable[..., Phone]
) -> None:
    answer = wait_ready(config, program)
    assert (answer.ready, answer.detail) == (True, "OPTIONS 200 OK")
    address = ("127.0.0.1", config.media_port("media-1"))
    phone = make_phone("100", "kalibri.internal", proxy=address)
    call = phone.invite("sip:queue@kalibri.internal", headers=[("X-KS-App", "hold_queue")]).wait_ended()
    assert call.code == 400  # no queue named
    headers = [("X-KS-App", "hold_queue"), ("X-KS-Arg", "tenant=1;queue=1")]
    call = phone.invite("sip:queue@kalibri.internal", headers=headers).wait_ended(20)
    assert call.code == 480  # there is no RTP controller here
    phone.wait(lambda: read_beat(config.run_directory, "media-1"), 10, "a sign of life")
    program.send_signal(signal.SIGTERM)
    assert program.wait(20) == 0


def test_second_one_on_the_same_port_says_why_it_cannot_start(
    config: Config, program: subprocess.Popen[str]
) -> None:
    wait_ready(config, program)
    second = subprocess.run(
        [sys.executable, "-m", "sems_apps.host.main", "--home", str(config.home), "--name", "media-1"],
        env=os.environ | {"KALIBRI_MEDIA_BASE_PORT": str(config.media.base_port)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 1
    assert "media-1 cannot listen" in second.stderr


def test_strangers_get_no_answer(config: Config, program: subprocess.Popen[str]) -> None:
    wait_ready(config, program)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.2", 0))
        sock.settimeout(1)
        own = f"127.0.0.2:{sock.getsockname()[1]}"
        text = f"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK1\r\nFrom: <sip:a@{own}>;tag=1\r\n"
        text += "To: <sip:x>\r\nCall-ID: s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        sock.sendto(text.encode(), ("127.0.0.1", config.media_port("media-1")))
        with pytest.raises(TimeoutError):
            sock.recv(2000)
