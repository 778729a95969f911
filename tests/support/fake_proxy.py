"""The proxy's logic on a strict fake of KSR: real directory files, real journal, no Kamailio and no socket.

proxy = FakeProxy(tmp_path)
proxy.send("REGISTER", to="sip:100@demo.example", auth=("100", 1))
assert proxy.replies == [(200, "OK")]
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import os
from pathlib import Path
from typing import Any

from callcore.errors import Unavailable
from kalibri.config import Config
from kalibri.config_sections import RtpConfig
from kalibri.journal import JournalWriter
from kemi import request_route
from kemi.acd_database import AcdDatabase
from kemi.directory import Directory
from kemi.ks_acd.model import AcdAction, MediaHost
from kemi.ks_route.table import RouteTable
from kemi.ksr_port import KsrPort
from kemi.nonce import address_mark
from kemi.relay_sockets import RelaySockets
from kemi.rtp_control import RtpControl
from kemi.worker import Worker
from tests.support.fake_ksr import FakeKsr
from tests.support.index_files import account_record, write_generation

SECRET = b"secret of the test"
TENANT = {"name": "demo", "realm": "demo.example", "time_zone": "UTC", "max_calls": None}
_serial = itertools.count(1)


class FakeRtpControl(RtpControl):
    """Keeps the orders to the RTP controllers."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.told: list[tuple[str, dict[str, Any]]] = []

    def _tell(self, method: str, **params: Any) -> None:
        self.told.append((method, params))


class FakeAcd(AcdDatabase):
    """The ACD as a test says it answers: `answers` by statement, in order; None stands for "the database is away"."""

    def __init__(self) -> None:
        super().__init__(self._no_database)
        self.answers: dict[str, list[list[AcdAction] | None]] = {}
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.living: tuple[MediaHost, ...] | None = None
        #: What use cases of kalibri.services return, in order; empty: the database is away.
        self.results: list[Any] = []

    @staticmethod
    def _no_database() -> Any:
        raise AssertionError("a unit test reached for PostgreSQL")

    def ask(self, name: str, **params: object) -> list[AcdAction]:
        """Return what the test prepared."""
        self.asked.append((name, params))
        answer = self.answers[name].pop(0)
        if answer is None:
            raise Unavailable("away")
        return answer

    def tell(self, name: str, **params: object) -> None:
        """Note what was told; an answer of None lets it fail."""
        self.asked.append((name, params))
        if self.answers.get(name) and self.answers[name].pop(0) is None:
            raise Unavailable("away")

    def run(self, work: Any) -> Any:
        """Return what the test prepared for a use case."""
        if not self.results:
            raise Unavailable("away")
        return self.results.pop(0)

    def hosts(self) -> tuple[MediaHost, ...]:
        """Return the hosts that the test lets live."""
        if self.living is None:
            raise Unavailable("away")
        return self.living

    def told(self, name: str) -> list[dict[str, object]]:
        """Return the parameters of every call of a statement."""
        return [params for asked, params in self.asked if asked == name]


class FakeProxy:
    """One Kamailio process without Kamailio."""

    def __init__(self, folder: Path, **system: Any) -> None:
        self.index, self.journal_folder = folder / "index", folder / "journal"
        self.index.mkdir()
        self.accounts = {
            f"a:1:{name}": account_record(username=name, tenant_id=1, domains=["demo.example"])
            for name in ("100", "101")
        }
        facts = {
            "tenants": {"0": {**TENANT, "realm": "system.invalid"}, "1": TENANT},
            "domains": {"demo.example": 1},
        }
        write_generation(self.index, entries=self.accounts, system={**facts, **system}, seq=1)
        self.ksr = FakeKsr()
        port = KsrPort(self.ksr)
        config = Config(home=folder, rtp=RtpConfig(nodes=2))
        self.rtp = FakeRtpControl(config)
        self.journal = JournalWriter(self.journal_folder, "n1", "kamailio")
        directory = Directory.open(self.index)
        self.acd = FakeAcd()
        self.rtp = FakeRtpControl(config)
        self.worker = Worker(
            port,
            config,
            self.journal,
            directory,
            SECRET,
            os.getpid(),
            self.journal_folder,
            self.rtp,
            RelaySockets(config.relay_controls),
            self.acd,
        )

    def set_entries(self, entries: dict[str, dict[str, Any]]) -> None:
        """Replace accounts and numbers of the directory; accounts 100 and 101 stay unless named."""
        write_generation(self.index, entries={**self.accounts, **entries})
        self.worker.directory.refresh()

    def set_routes(self, table: RouteTable) -> None:
        """Put a routing table in force."""
        served = self.worker.directory._served
        self.worker.directory._served = dataclasses.replace(served, routes=table)

    def nonce(self, ip: str = "", expires: int = 2**32 - 1) -> str:
        """Make a nonce as the auth module does, for an address (the one of the next request) until a Unix time."""
        mark = address_mark(ip or self.ksr.pvs["$si"], SECRET)
        return base64.b64encode(expires.to_bytes(4, "big") + bytes(20) + mark + bytes(5)).decode()

    def send(self, method: str, *, auth: tuple[str, int] | None = None, nonce: str = "", **pvs: Any) -> None:
        """Let a request in. auth: user name of the credentials and what the auth module finds (1 right, -2 wrong)."""
        number = next(_serial)
        self.ksr.pvs = {
            "$rm": method,
            "$ru": "sip:101@demo.example",
            "$rU": "101",
            "$rd": "demo.example",
            "$fU": "100",
            "$fd": "demo.example",
            "$ft": f"tag{number}",
            "$tU": "101",
            "$td": "demo.example",
            "$ci": f"call-{number}@phone",
            "$cs": "1",
            "$si": "192.0.2.10",
            "$sp": 5062,
            "$proto": "udp",
            "$Rp": 5060,
            "$ml": 500,
            **{f"${name}" if not name.startswith("$") else name: value for name, value in pvs.items()},
        }
        self.ksr.results.setdefault("auth.has_credentials", -1)
        if auth is not None:
            self.ksr.pvs["$au"] = auth[0]
            name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
            header = (
                f'Digest username="{auth[0]}", realm="{TENANT["realm"]}", nonce="{nonce or self.nonce()}"'
            )
            self.ksr.pvs.setdefault(f"$(hdr({name})[0])", header)
            self.ksr.results |= {"auth.has_credentials": 1, "auth.pv_auth_check": auth[1]}
        self.ksr.calls.clear()
        request_route.request_route(self.worker)
        self.do_later()

    def do_later(self) -> None:
        """Do what was put off until the message was sent, as kemi/kamailio.py does."""
        while self.worker.later:
            self.worker.later.pop(0)()

    @property
    def replies(self) -> list[tuple[int, str]]:
        """What the last request was answered."""
        return [(code, reason) for code, reason in self.ksr.called("sl.send_reply")]

    @property
    def challenged(self) -> bool:
        """Whether the last request was challenged."""
        return bool(self.ksr.called("auth.auth_challenge"))

    @property
    def relayed(self) -> bool:
        """Whether the last request was sent on."""
        return bool(self.ksr.called("tm.t_relay"))

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the journal lines of a kind, in order."""
        lines = [
            json.loads(line)
            for file in sorted(self.journal_folder.glob("*"))
            for line in file.read_text().splitlines()
        ]
        return [line for line in lines if line["kind"].startswith(kind)]
