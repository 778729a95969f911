"""Calls a second through a scenario of three menus, and what one costs; real sippy, RTPProxy, PostgreSQL.

    python -m bench.ivr [--seconds 8] [--rates 20,40,60,80,…]

One media host and one node. Each caller presses three keys by INFO, each while the menu is being said; a call is good
when the scenario ended it behind the third menu. A rate is clean when every call was good and 95 of 100 were answered
within half a second. The load stands for proxy and callers and is not counted.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
import psycopg

from bench.media_host import NODE, Bench, measure, p95
from bench.report import write_report
from bench.switchboard import Call, Switchboard, _sdp
from kalibri.prompt_index import ANY, INDEX, index_key
from tests.support.acd_field import Field
from tests.support.fix_pg import temporary_cluster

SCENARIO = """
language: en
nodes:
  first: {kind: menu, say: menu-1, keys: {1: second}, on_failure: lost}
  second: {kind: menu, say: menu-2, keys: {2: third}, on_failure: lost}
  third: {kind: menu, say: menu-3, keys: {3: bye}, on_failure: lost}
  bye: {kind: hangup, say: thanks}
  lost: {kind: return}
"""
KEYS = "123"
PROMPT_SECONDS = {"menu-1": 4.0, "menu-2": 4.0, "menu-3": 4.0, "thanks": 0.4}
KEY_SECONDS = 0.4
ANSWER_P95_MS = 500.0


@dataclass
class Callers(Switchboard):
    """Callers of the scenario, who press its keys."""

    good: set[str] = field(default_factory=set)

    def _invite(self) -> None:
        call = Call(str(uuid.uuid4()), time.monotonic())
        self.calls[call.call] = self.by_dialog[call.call] = call
        body = _sdp(self.address, 30000)
        self._send(
            f"INVITE sip:ivr_menu@kalibri SIP/2.0\r\n{self._via(call.call)}From: <sip:caller@kalibri>;tag=c\r\n"
            f"To: <sip:ivr_menu@kalibri>\r\nCall-ID: {call.call}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:caller@{self.address[0]}:{self.address[1]}>\r\nX-KS-Call: {call.call}\r\n"
            f"X-KS-App: ivr_menu\r\nX-KS-Arg: tenant={self.tenant};scenario=bench"
            f";caller=%2B7495{len(self.calls):07d}\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )

    def _response(self, code: int, headers: dict[str, str]) -> None:
        call = self.by_dialog.get(headers["call-id"])
        new = call is not None and not call.answered
        super()._response(code, headers)
        if call is not None and new and call.answered:
            for number, key in enumerate(KEYS):
                self._at(
                    call.answered + KEY_SECONDS * (number + 1),
                    lambda key=key, number=number: self._press(call, key, number + 2),  # type: ignore[misc]
                )

    def _press(self, call: Call, key: str, cseq: int) -> None:
        if call.ended:
            return
        self._order += 1
        body = f"Signal={key}\r\nDuration=160\r\n"
        self._send(
            f"INFO sip:media@{self.host[0]}:{self.host[1]} SIP/2.0\r\n{self._via('i')}"
            f"From: <sip:caller@kalibri>;tag=c\r\nTo: {call.to}\r\nCall-ID: {call.call}\r\nCSeq: {cseq} INFO\r\n"
            f"Max-Forwards: 70\r\nContent-Type: application/dtmf-relay\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )

    def _request(self, method: str, text: str, headers: dict[str, str]) -> None:
        if method == "BYE" and 'text="hang up"' in text:
            self.good.add(headers["call-id"])
        super()._request(method, text, headers)


def add_prompts(folder: Path) -> None:
    """Put the prompts beside the music that the bench of media hosts has."""
    for name, seconds in PROMPT_SECONDS.items():
        for number in (0, 8):
            (folder / f"{name}.{number}").write_bytes(os.urandom(int(8000 * seconds)))
    index = json.loads((folder / INDEX).read_text())
    index["prompts"] |= {index_key(0, ANY, name): name for name in PROMPT_SECONDS}
    (folder / INDEX).write_text(json.dumps(index))


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--seconds", default=8.0, help="How long each rate lasts.")
@click.option("--rates", default="20,40,60,80,100,120,150,200", help="Calls a second, rising.")
def main(seconds: float, rates: str) -> None:
    """Measure."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(temporary_cluster())
        conn = stack.enter_context(psycopg.connect(server.dsn("kalibri"), autocommit=True))
        tenant = Field(conn).tenant
        conn.execute(
            "INSERT INTO node (name, kind, host, address) VALUES (%s, 'media', 'n1', 'udp:127.0.0.1:5080')",
            [NODE],
        )
        conn.execute(
            "INSERT INTO ivr_scenario (tenant_id, name, version, source) VALUES (%s, 'bench', 1, %s)",
            [tenant, SCENARIO],
        )
        bench = Bench(home, server, stack)
        add_prompts(home / "prompts")
        address = ("127.0.0.1", bench.config.media_port("media-1"))
        measure(
            bench, Callers(address, tenant, 0, talk_seconds=None), 5, 2
        )  # the first calls load everything
        metrics: dict[str, float] = {"calls_per_s_clean": 0.0, "calls_per_s_tried": 0.0}
        for rate in map(float, rates.split(",")):
            board = Callers(address, tenant, 0, talk_seconds=None)
            calls, cpu = measure(bench, board, rate, seconds)
            bad = len(calls) - len(board.good)
            late = p95([(call.answered - call.began) * 1000 for call in calls if call.answered] or [0.0, 1e9])
            print(f"{rate:g} calls/s: {bad} of {len(calls)} bad, answered within {late:.0f} ms (95 of 100)")
            metrics["calls_per_s_tried"] = rate
            if bad or late > ANSWER_P95_MS:
                break
            metrics["calls_per_s_clean"] = rate
            metrics["answer_p95_ms"] = late
            metrics |= {f"{name}_cpu_ms_per_call": value for name, value in cpu.items()}
        write_report("ivr", metrics)


if __name__ == "__main__":
    main()
