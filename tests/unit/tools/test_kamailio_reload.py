"""Kamailio loads its tables again when they changed, and only then; ks-index keeps asking until it did."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kalibri.services.index_build import KamailioTables
from tools.index.kamailio_reload import RETRY_SECONDS, KamailioReload


class Proxy:
    """Answers JSON-RPC on a datagram socket as Kamailio's jsonrpcs does, and remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        #: Methods that it refuses with an error.
        self.refuses: set[str] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(65536)
            if data == b"stop":
                return
            request = json.loads(data)
            reply = {"jsonrpc": "2.0", "id": request["id"], "result": "ok"}
            if request["method"] in self.refuses:
                reply = {
                    "jsonrpc": "2.0",
                    "id": request["id"],
                    "error": {"code": 500, "message": "ongoing reload"},
                }
            else:
                self.asked.append(request["method"])
            self._socket.sendto(json.dumps(reply).encode(), sender)

    def stop(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"stop", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    running = Proxy(tmp_path / "rpc.sock")
    yield running
    running.stop()


def test_only_the_table_that_changed_is_loaded_again(tmp_path: Path, proxy: Proxy) -> None:
    reload = KamailioReload(tmp_path / "rpc.sock", tmp_path)
    reload.want(KamailioTables("d1", "u1"))
    reload.try_now()
    assert proxy.asked == ["dispatcher.reload", "uac.reg_reload"]
    reload.want(KamailioTables("d1", "u1"))
    reload.try_now()
    reload.want(KamailioTables("d2", "u1"))
    reload.try_now()
    assert proxy.asked[2:] == ["dispatcher.reload"]


def test_what_was_told_is_remembered_over_a_restart(tmp_path: Path, proxy: Proxy) -> None:
    first = KamailioReload(tmp_path / "rpc.sock", tmp_path)
    first.want(KamailioTables("d1", "u1"))
    first.try_now()
    second = KamailioReload(tmp_path / "rpc.sock", tmp_path)
    second.want(KamailioTables("d1", "u2"))
    second.try_now()
    assert proxy.asked[2:] == ["uac.reg_reload"]


def test_a_proxy_that_refuses_is_asked_again_for_what_is_left(tmp_path: Path, proxy: Proxy) -> None:
    clock = Clock()
    reload = KamailioReload(tmp_path / "rpc.sock", tmp_path, clock=clock)
    proxy.refuses = {"uac.reg_reload"}
    reload.want(KamailioTables("d1", "u1"))
    reload.try_now()
    reload.try_now()
    assert (proxy.asked, reload.pending) == (["dispatcher.reload"], ["uacreg"])
    proxy.refuses = set()
    clock.now += RETRY_SECONDS
    reload.try_now()
    assert (proxy.asked, reload.pending) == (["dispatcher.reload", "uac.reg_reload"], [])


def test_a_proxy_that_is_down_is_asked_when_it_is_up(tmp_path: Path) -> None:
    clock = Clock()
    reload = KamailioReload(tmp_path / "rpc.sock", tmp_path, clock=clock)
    reload.want(KamailioTables("d1", "u1"))
    reload.try_now()
    assert reload.pending == ["dispatcher", "uacreg"]
    proxy = Proxy(tmp_path / "rpc.sock")
    reload.try_now()
    assert proxy.asked == []
    clock.now += RETRY_SECONDS
    reload.try_now()
    assert len(proxy.asked) == 2
    proxy.stop()


def test_a_senseless_memory_is_no_memory(tmp_path: Path, proxy: Proxy) -> None:
    (tmp_path / "kamailio_reload.json").write_text("[1")
    reload = KamailioReload(tmp_path / "rpc.sock", tmp_path)
    reload.want(KamailioTables("d1", "u1"))
    assert reload.pending == ["dispatcher", "uacreg"]
