"""Scenarios on an instance with real media hosts: their prompts, their callers, and a web server that misbehaves.

centre = IvrCentre(live_centre)
uri = centre.scenario("main", SOURCE)
call = centre.call(uri)
centre.hears(call, "p-hello", "p-menu")     # bit by bit as in the compiled files
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import threading
import wave
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kalibri import db
from kalibri.prompt_index import PromptIndex
from kalibri.services import ivr, ivr_table, prompt
from tests.support.call_centre import PCMA, CallCentre
from tests.support.rtp_peer import FRAME_BYTES
from tests.support.sip_call import Call
from tests.support.switch import Switch

PROMPTS = ("p-hello", "p-menu", "p-one", "p-bad", "p-sorry", "p-bye")
PROMPT_SECONDS = 0.4
_SERIAL = itertools.count(1)


def install_prompts(switch: Switch, names: Sequence[str] = PROMPTS) -> None:
    """Give the tenant short prompts whose every frame is another one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        db.connect_tool(switch.config, application_name="test") as conn,
    ):
        for name in names:
            noise = random.Random(name)
            path = Path(folder) / f"{name}.wav"
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                samples = (noise.randrange(-8000, 8000) for _ in range(int(8000 * PROMPT_SECONDS)))
                file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
            prompt.add(conn, switch.config, tenant_id=switch.tenant_id, name=name, file=path)


class WebServer:
    """Answers as its path says: /json?…, /slow, /drip, /lies, /large, /short, /nonsense, /error, /to?url=….

    Counts what it was asked.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.data: Any = {"value": "5"}
        #: So many requests more are answered with 503.
        self.failing = 0
        #: Set when the test is over: what is slow answers then.
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.asked.append((handler.command, handler.path, dict(handler.headers), body))
        what, _, rest = handler.path[1:].partition("?")
        content = json.dumps(self.data).encode()
        status, headers = 200, {}
        if self.failing:
            self.failing, what = self.failing - 1, "error"
        if what == "nonsense":
            handler.wfile.write(b"SIP/2.0 200 OK\r\n\r\n" + content)
            return
        if what == "slow":
            self.over.wait(60)
        elif what == "lies":
            content = b"<html>" * 10
        elif what == "large":
            content = b'"' + b"x" * 200_000 + b'"'
        elif what == "error":
            status = 503
        elif what == "to":
            status, headers = 302, {"Location": rest}
        try:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content) + (1000 if what == "short" else 0)))
            handler.end_headers()
            if what == "drip":
                self._drip(handler)
            else:
                handler.wfile.write(content)
        except OSError:
            return  # whoever asked has gone

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        while not self.over.wait(0.1):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    def close(self) -> None:
        """Let everything end."""
        self.over.set()
        self._http.shutdown()
        self._http.server_close()


class IvrCentre:
    """Scenarios of the demo tenant."""

    def __init__(self, centre: CallCentre) -> None:
        self.centre, self.switch = centre, centre.switch
        self._index = PromptIndex(self.switch.config.prompt_directory)

    def scenario(self, source: str, name: str = "") -> str:
        """Store a scenario with a number that leads to it, and return what a phone calls."""
        serial = next(_SERIAL)
        name = name or f"scenario{serial}"
        self.store(source, name)
        return self.number(f"ivr:{name}")

    def store(self, source: str, name: str) -> int:
        """Store a scenario, or a new version of it; return the version."""
        with db.connect_tool(self.switch.config, application_name="test") as conn:
            tenant = self.switch.tenant_id
            return ivr.add(conn, self.switch.config, tenant_id=tenant, name=name, source=source).version

    def number(self, destination: str) -> str:
        """Return what a phone calls to get somewhere."""
        number = f"95{next(_SERIAL):04}"
        self.switch.add_route(f"^{number}$", destination, priority=float(5000 + next(_SERIAL)))
        self.switch.save()
        return f"sip:{number}@{self.switch.DOMAIN}"

    def allow(self, host: str, port: int, *, private: bool = False) -> None:
        """Let scenarios ask a web server."""
        with db.connect_tool(self.switch.config, application_name="test") as conn:
            ivr.allow_host(conn, tenant_id=self.switch.tenant_id, host=host, port=port, private=private)

    def table(self, name: str, text: str) -> None:
        """Import a table."""
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write(text)
            file.flush()
            with db.connect_tool(self.switch.config, application_name="test") as conn:
                ivr_table.import_(conn, tenant_id=self.switch.tenant_id, name=name, file=Path(file.name))

    def call(self, uri: str, **more: Any) -> Call:
        """Call, with media, and wait for the answer."""
        return self.centre.caller(media=True, **more).call(uri)

    # ---- what is heard

    def sound(self, names: Sequence[str], language: str = "ru") -> bytes:
        """Return prompts as they are played, one after the other."""
        parts = []
        for name in names:
            path = self._index.path_of(self.switch.tenant_id, name, language)
            assert path is not None, name
            parts.append(path.with_name(f"{path.name}.{PCMA}").read_bytes())
        return b"".join(parts)

    def hears(self, call: Call, *names: str, language: str = "ru", seconds: float = 30) -> None:
        """Wait until the caller has heard these prompts, one after the other, bit by bit."""
        sound = self.sound(names, language)
        wanted = sound[: len(sound) // FRAME_BYTES * FRAME_BYTES]

        def heard() -> bool:
            return wanted in audio(call)

        call.phone.wait(
            heard, seconds, f"hears {' '.join(names)}: {len(audio(call))} octets, {len(wanted)} wanted"
        )

    def never_heard(self, call: Call, name: str) -> None:
        """Tell that a prompt was not played to its end."""
        sound = self.sound([name])
        assert sound[-2 * FRAME_BYTES : -FRAME_BYTES] not in audio(call)

    # ---- what is told

    def path(self, call: Call, *, ended: bool = True) -> list[str]:
        """Return the nodes of a call's story, once it has ended."""
        return [
            event["data"]["node"] for event in self.story(call, ended=ended) if event["kind"] == "ivr.node"
        ]

    def story(self, call: Call, *, ended: bool = True) -> list[dict[str, Any]]:
        """Return the events of a call, once the scenario has ended."""

        def told() -> list[dict[str, Any]] | None:
            rows = self.switch.call_rows(call.call_id)
            events = self.switch.events(rows[0]["call_id"]) if rows else []
            kinds = [event["kind"] for event in events]
            return events if not ended or "ivr.end" in kinds else None

        return self.switch.wait(told, 30, "the story has the scenario's end") or []


def audio(call: Call) -> bytes:
    """Return everything that a caller has heard."""
    return b"".join(packet.payload for packet in list(call.media.received) if packet.payload_type == PCMA)
