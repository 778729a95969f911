"""JSON-RPC to a real Kamailio: replies, refusals, and what it means when nothing comes back."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kalibri.rpc import KamailioRpc, ProxyDown, ReplyTooLong, RpcRefused
from tests.support.rpc_kamailio import Phones, RpcKamailio, rpc_kamailio

MANY = 300


@pytest.fixture(scope="module")
def proxy() -> Iterator[RpcKamailio]:
    with rpc_kamailio() as running:
        yield running


@pytest.fixture(scope="module")
def proxy_with_calls(proxy: RpcKamailio) -> RpcKamailio:
    """A proxy with more dialogs than one datagram can tell."""
    with Phones(proxy) as phones:
        for n in range(MANY):
            phones.call(f"a{n}", f"b{n}", {"X-KS-Call": f"0193aabb-ccdd-7eee-8fff-{n:012x}", "X-Tenant": "7"})
    return proxy


def test_a_method_answers(proxy: RpcKamailio) -> None:
    with KamailioRpc(proxy.socket) as rpc:
        assert rpc.call("core.uptime")["uptime"] >= 0
        assert rpc.call("core.echo", 'Привет "x"\n', 5) == ['Привет "x"\n', "5"]


def test_an_unknown_method_is_refused_with_its_name(proxy: RpcKamailio) -> None:
    with (
        KamailioRpc(proxy.socket) as rpc,
        pytest.raises(RpcRefused, match=r"no.such: Method Not Found") as refused,
    ):
        rpc.call("no.such")
    assert refused.value.details == {"method": "no.such", "code": 500}


def test_a_conversation_goes_on_after_a_refusal(proxy: RpcKamailio) -> None:
    with KamailioRpc(proxy.socket) as rpc:
        with pytest.raises(RpcRefused):
            rpc.call("no.such")
        assert rpc.call("core.uptime")


def test_all_dialogs_come_however_many_there_are(proxy_with_calls: RpcKamailio) -> None:
    with KamailioRpc(proxy_with_calls.socket) as rpc:
        dialogs = rpc.dialogs()
    assert len(dialogs) == MANY
    assert {d["variables"]["ks_b"] for d in dialogs} == {f"b{n}" for n in range(MANY)}
    assert {d["variables"]["ks_tenant"] for d in dialogs} == {"7"}
    assert list(proxy_with_calls.socket.parent.glob("rpc-*")) == []


def test_a_reply_that_is_too_long_is_not_taken_for_a_dead_proxy(proxy_with_calls: RpcKamailio) -> None:
    with KamailioRpc(proxy_with_calls.socket, timeout_seconds=0.5) as rpc:
        with pytest.raises(ReplyTooLong, match=r"dlg\.list"):
            rpc.call("dlg.list")
        assert rpc.call("core.uptime")


def test_a_request_that_is_too_long_is_refused(proxy: RpcKamailio) -> None:
    with KamailioRpc(proxy.socket) as rpc:
        with pytest.raises(RpcRefused, match="does not fit"):
            rpc.call("core.echo", "x" * 1_000_000)
        assert rpc.call("core.uptime")


def test_no_socket_is_a_proxy_that_is_down(tmp_path: Path) -> None:
    with KamailioRpc(tmp_path / "rpc.sock") as rpc:
        with pytest.raises(ProxyDown, match=r"rpc\.sock: No such file"):
            rpc.call("core.uptime")
        with pytest.raises(ProxyDown):
            rpc.dialogs()


def test_a_socket_that_a_dead_proxy_left_is_a_proxy_that_is_down(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(os.fspath(path))
    with KamailioRpc(path) as rpc, pytest.raises(ProxyDown, match="refused"):
        rpc.call("core.uptime")


def test_a_proxy_that_hangs_is_down(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as silent:
        silent.bind(os.fspath(path))
        with (
            KamailioRpc(path, timeout_seconds=0.1) as rpc,
            pytest.raises(ProxyDown, match="no reply in time"),
        ):
            rpc.call("dlg.list")


def test_replies_to_other_requests_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server, KamailioRpc(path) as rpc:
        server.bind(os.fspath(path))
        server.settimeout(5)
        connection = rpc._connected()
        late = [b'{"jsonrpc":"2.0","result":"late","id":77}', b"\xff", b"[]", b'{"result":"none"}']
        for reply in [*late, b'{"jsonrpc":"2.0","result":"mine","id":1}']:
            server.sendto(reply, connection.getsockname())
        assert rpc.call("anything") == "mine"
