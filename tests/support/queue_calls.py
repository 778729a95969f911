"""Queue calls in a fake proxy: what the ACD answers, how agents fail, what a media host is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from kemi import queue_calls, replies
from kemi.ks_acd.model import AcdAction
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.table import RouteTable
from tests.support.fake_proxy import FakeProxy
from tests.support.index_files import account_record, gateway_record

HOSTS = [{"name": "m1", "address": "udp:127.0.0.1:7001"}, {"name": "m2", "address": "udp:127.0.0.1:7002"}]
PEER = {"name": "n2-proxy", "kind": "proxy", "host": "n2", "address": "udp:192.0.2.99:5066"}
OWN = {"name": "n1-proxy", "kind": "proxy", "host": "n1", "address": "udp:127.0.0.1:5066"}
NODES = [{"name": host["name"], "kind": "media", "host": "n1", "address": host["address"]} for host in HOSTS]
QUEUE = {"queue_id": 7, "tenant_id": 1, "name": "sales", "anchored": False, "settings": {"music": "jazz"}}
OUT = gateway_record(1, name="out", host="192.0.2.21", source_networks=["192.0.2.21/32"])


def queue_proxy(folder: Path) -> FakeProxy:
    """Return a proxy with two agents, two queues and two media hosts."""
    proxy = FakeProxy(folder, nodes=NODES, gateways={"1": OUT})
    agents = {
        f"a:1:{name}": account_record(
            account_id=int(name), username=name, tenant_id=1, domains=["demo.example"], agent_id=int(name)
        )
        for name in ("201", "202")
    }
    proxy.set_entries(
        agents
        | {
            "q:1:sales": QUEUE,
            "q:1:boxed": {**QUEUE, "name": "boxed", "anchored": True},
            "q:1:taped": {**QUEUE, "name": "taped", "settings": {"record": True}},
        }
    )
    rows = [
        ("^9$", "queue", "sales"),
        ("^8$", "queue", "boxed"),
        ("^7$", "queue", "none"),
        ("^6$", "queue", "taped"),
        ("^849", "gateway", "out"),
    ]
    table = [
        RouteRow(
            route_id=number,
            tenant_id=1,
            priority=Decimal(number),
            b_pattern=pattern,
            destination_kind=DestinationKind(kind),
            destination=name,
        )
        for number, (pattern, kind, name) in enumerate(rows, 1)
    ]
    proxy.set_routes(RouteTable.from_rows(table))
    return proxy


def offer(agent: str = "201", offer_id: int = 11, **data: Any) -> AcdAction:
    told = {"to_kind": "account", "to": agent, "ring_seconds": 15, **data}
    return AcdAction(kind="offer_agent", tenant_id=1, entry_id=5, offer_id=offer_id, data=told)


def wait(hosts: list[dict[str, str]] | None = None) -> AcdAction:
    return AcdAction(kind="wait", tenant_id=1, entry_id=5, data={"hosts": HOSTS if hosts is None else hosts})


def call(proxy: FakeProxy, *answer: AcdAction, away: bool = False, b: str = "9", **pvs: Any) -> None:
    proxy.acd.answers.setdefault("enter", []).append(None if away else list(answer))
    proxy.send("INVITE", auth=("100", 1), rU=b, tU=b, **pvs)


def fail(proxy: FakeProxy, code: int, *, silent: bool = False, cancelled: bool = False) -> None:
    proxy.ksr.pvs["$T_reply_code"] = str(code)
    proxy.ksr.results |= {
        "tm.t_branch_timeout": 1 if silent else -1,
        "tm.t_is_canceled": 1 if cancelled else -1,
    }
    proxy.ksr.calls.clear()
    queue_calls.failure(proxy.worker)
    proxy.do_later()


def ring(proxy: FakeProxy, code: int = 180) -> None:
    proxy.ksr.pvs |= {"$rs": str(code)}
    replies.manage(proxy.worker)


def host_headers(proxy: FakeProxy) -> list[str]:
    proxy.ksr.calls.clear()
    queue_calls.branch(proxy.worker)
    return [line.rstrip("\r\n") for (line,) in proxy.ksr.called("hdr.append")]


def targets(proxy: FakeProxy) -> list[str]:
    return [uri for (uri,) in proxy.ksr.called("seturi")]
