"""A call centre on an instance: agents with real phones, queues, and phones that play a media host.

centre = CallCentre(switch, net_loop)
eve, adam = centre.agent(), centre.agent()   # account, agent, phone; registered, logged in, free
sales = centre.queue([eve, adam], ring_seconds=5)
host = centre.host()                         # says twice a second that it lives, answers INVITEs like any phone
call = centre.caller().call(sales.uri)
eve.wait("busy")
"""

from __future__ import annotations

import itertools
import random
import tempfile
import threading
import time
import uuid
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from kalibri import db
from kalibri.prompt_index import PromptIndex
from kalibri.services import prompt
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import FRAME_BYTES, RtpPacket, RtpPeer
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone
from tests.support.switch import Switch
from tests.support.waiting import wait_until

HEARTBEAT_SECONDS = 0.5
#: One instance serves many tests: names and numbers are never used twice.
_SERIAL = itertools.count(1)


#: Payload type of the music that test phones hear first in their offers: G.711 A-law.
PCMA = 8
#: Payload type of keys (RFC 4733).
KEYS = 101
MUSIC_SECONDS = 3


def install_music(switch: Switch) -> None:
    """Give the tenant music whose every frame is another one."""
    noise = random.Random(4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "music.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            samples = (noise.randrange(-8000, 8000) for _ in range(8000 * MUSIC_SECONDS))
            file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
        with db.connect_tool(switch.config, application_name="test") as conn:
            tenant, config = switch.tenant_id, switch.config
            prompt.add(conn, config, tenant_id=tenant, name="noise", file=path, music=True)
            prompt.set_music(conn, config, tenant_id=tenant, name="default", prompts=["noise"])


def music_frames(switch: Switch) -> list[bytes]:
    """Return the frames of the music in the order in which they are played."""
    (found,) = PromptIndex(switch.config.prompt_directory).music(switch.tenant_id, "default")
    data = found.path.with_name(f"{found.path.name}.{PCMA}").read_bytes()
    return [data[start : start + FRAME_BYTES] for start in range(0, len(data), FRAME_BYTES)]


def assert_music(switch: Switch, peer: RtpPeer, *, frames: int = 50) -> None:
    """Wait until so many frames more have come, all of them music, in order and bit by bit as in the file."""
    heard = len(peer.received)
    peer.wait_received(heard + frames)
    index_of = {frame: index for index, frame in enumerate(music_frames(switch))}
    order = [index_of.get(packet.payload) for packet in peer.received[heard : heard + frames]]
    assert None not in order, f"not music: {order}"
    breaks = [
        pair
        for pair in itertools.pairwise(order)
        if (pair[0] + 1) % len(index_of) != pair[1]  # type: ignore[operator]
    ]
    assert len(breaks) <= 2, f"music out of order: {breaks}"


class Host(Phone):
    """A phone in the place of a media host: known to the proxy, with a heartbeat."""

    def __init__(self, centre: CallCentre, name: str, load: float) -> None:
        super().__init__(centre.loop, name, "media.test", proxy=centre.internal_address)
        self.name, self.load = name, load
        self.data: dict[str, Any] = {"load": load, "calls": 0, "capacity": 100}
        self.held: list[int] = []
        self._centre, self._boot, self._stop = centre, uuid.uuid4(), threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def live(self) -> None:
        """Begin to say that it lives."""
        self.say_alive()
        self._beats.start()

    def say_alive(self) -> None:
        """Send one heartbeat with all entries that it holds."""
        with self._centre.switch.connect() as conn:
            self._report(conn)

    def _report(self, conn: psycopg.Connection[Any]) -> None:
        conn.execute(
            "SELECT * FROM acd_report(%s, %s, %s::bigint[], %s)",
            [self.name, self._boot, list(self.held), Jsonb(self.data)],
        )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self.say_alive()
            except psycopg.Error:
                continue  # the database is away: so is the heartbeat

    def die(self) -> None:
        """Answer nothing any more, and send no heartbeat."""
        self._stop.set()
        self.deaf = True

    def close(self) -> None:
        """Stop the heartbeat and close the socket."""
        self._stop.set()
        super().close()

    def enter(self, call_id: str, tenant: int, queue: int, caller: str) -> list[dict[str, Any]]:
        """Do what a host does with a queue call: make or take over the entry; the actions come back."""
        rows = self._centre.switch.rows(
            "SELECT * FROM acd_enter(%s, %s, %s::uuid, %s, true, %s)",
            [tenant, queue, call_id, self.name, caller],
        )
        self.held += [
            row["entry_id"] for row in rows if row["entry_id"] and row["kind"] in ("wait", "offer_agent")
        ]
        return rows


class Agent:
    """An agent with his phone."""

    def __init__(self, centre: CallCentre, name: str, agent_id: int, phone: Phone) -> None:
        self.centre, self.name, self.agent_id, self.phone = centre, name, agent_id, phone

    @property
    def facts(self) -> dict[str, Any]:
        """Everything that the database says of his state."""
        return self.centre.switch.rows("SELECT * FROM agent_live WHERE agent_id = %s", [self.agent_id])[0]

    @property
    def state(self) -> str:
        """His state."""
        return str(self.facts["state"])

    def wait(self, *states: str, seconds: float = 10) -> float:
        """Wait until he is in one of these states; return after how many seconds he was."""
        began = time.monotonic()
        try:
            wait_until(lambda: self.state in states, f"{self.name} is {states}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.facts}") from None
        return time.monotonic() - began

    def call(self, number: int = 1) -> Call:
        """Wait for the `number`-th call of his phone."""
        return self.phone.wait_call(number)

    def do(self, function: str, *values: Any) -> None:
        """Call acd_<function>(tenant, agent, ...) for him."""
        marks = ", ".join(["%s"] * (2 + len(values)))
        self.centre.switch.rows(
            f"SELECT acd_{function.removeprefix('acd_')}({marks})",
            [self.centre.switch.tenant_id, self.agent_id, *values],
        )


class Queue:
    """A queue with the number that leads to it."""

    def __init__(self, centre: CallCentre, name: str, number: str, queue_id: int) -> None:
        self.centre, self.name, self.number, self.queue_id = centre, name, number, queue_id

    @property
    def uri(self) -> str:
        """What a phone calls."""
        return f"sip:{self.number}@{self.centre.switch.DOMAIN}"

    def add(self, agent: Agent, **columns: Any) -> None:
        """Let an agent serve the queue."""
        self.centre.switch.insert(
            "queue_member",
            tenant_id=self.centre.switch.tenant_id,
            queue_id=self.queue_id,
            agent_id=agent.agent_id,
            **columns,
        )
        agent.do("agent_changed")

    @property
    def offers(self) -> list[dict[str, Any]]:
        """Its offers in their order."""
        return self.centre.switch.rows(
            "SELECT * FROM offer WHERE queue_id = %s ORDER BY offer_id", [self.queue_id]
        )

    @property
    def outcomes(self) -> list[str]:
        """Outcomes of its offers in their order; "" for one that is open."""
        return [offer["outcome"] or "" for offer in self.offers]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Its entries in their order."""
        return self.centre.switch.rows(
            "SELECT * FROM queue_entry WHERE queue_id = %s ORDER BY entry_id", [self.queue_id]
        )

    def wait_entry(self, *states: str, number: int = 1, seconds: float = 10) -> dict[str, Any]:
        """Wait until the `number`-th entry is in one of these states, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := self.entries[number - 1 : number]) or found[0]["state"] not in states:
            assert time.monotonic() < deadline, f"entry {number} is not {states}: {found}"
            time.sleep(0.02)
        return found[0]


def _log_in(agent: Agent) -> None:
    agent.phone.register()
    agent.do("login", "test")
    agent.wait("free")


class CallCentre:
    """Agents, queues and media hosts of the demo tenant of a switch."""

    def __init__(self, switch: Switch, loop: NetLoop) -> None:
        self.switch, self.loop = switch, loop
        self.agents: list[Agent] = []
        self._phones: list[Phone] = []

    @property
    def internal_address(self) -> tuple[str, int]:
        """Where media hosts send to."""
        proxy = self.switch.config.proxy
        return proxy.listen_address, proxy.internal_port

    def close(self) -> None:
        """Log everybody out, close all phones and hosts, forget the hosts."""
        for agent in self.agents:
            agent.do("logout", "test")
        for phone in self._phones:
            phone.close()
            if isinstance(phone, Host):
                self.switch.rows("DELETE FROM node WHERE name = %s RETURNING name", [phone.name])

    def agent(self, *, number: str | None = None, login: bool = True, **more: Any) -> Agent:
        """Return an agent: registered, logged in, free; on an external number if one is given."""
        made = self._add_agent(number, more)
        self.switch.save()
        if login:
            _log_in(made)
        return made

    def crew(self, number: int) -> list[Agent]:
        """Return so many agents, registered, logged in, free."""
        made = [self._add_agent(None, {}) for _ in range(number)]
        self.switch.save()
        for agent in made:
            _log_in(agent)
        return made

    def _add_agent(self, number: str | None, more: dict[str, Any]) -> Agent:
        serial = next(_SERIAL)
        name, columns = f"agent{serial}", {"number": number}
        if number is None:
            self.switch.add_account(name)
            found = self.switch.rows("SELECT account_id FROM account WHERE username = %s", [name])
            columns = {"account_id": found[0]["account_id"]}
        row = self.switch.insert("agent", tenant_id=self.switch.tenant_id, name=name, **columns)
        made = Agent(self, name, int(row["agent_id"]), self.phone(name, **more))
        self.agents.append(made)
        return made

    def queue(self, agents: Iterable[Agent] = (), **columns: Any) -> Queue:
        """Return a queue with these members and a number that leads to it, live."""
        serial = next(_SERIAL)
        name, number = f"queue{serial}", f"9{serial:04}"
        values = {key: Jsonb(value) if isinstance(value, dict) else value for key, value in columns.items()}
        row = self.switch.insert("queue", tenant_id=self.switch.tenant_id, name=name, **values)
        made = Queue(self, name, number, int(row["queue_id"]))
        self.switch.add_route(f"^{number}$", f"queue:{name}", priority=float(1000 + serial))
        for position, agent in enumerate(agents):
            made.add(agent, position=position)
        self.switch.save()
        return made

    def caller(self, username: str = "100", **more: Any) -> Phone:
        """Return a phone that calls; nobody calls it."""
        return self.phone(username, **more)

    def phone(self, username: str, **more: Any) -> Phone:
        """Return a phone of an account; it is closed with the call centre."""
        self._phones.append(self.switch.phone(self.loop, username, **more))
        self._phones[-1].payload_types = (PCMA, 0, KEYS)
        return self._phones[-1]

    def command(self, function: str, entry_id: int, *values: Any) -> None:
        """Call acd_<function>(tenant, entry, values..., by) as a supervisor."""
        given: list[Any] = [self.switch.tenant_id, entry_id, *values]
        if function == "eject":
            given += [None] * (4 - len(given))
        marks = ", ".join(["%s"] * (len(given) + 1))
        self.switch.rows(f"SELECT acd_{function}({marks})", [*given, "boss"])

    def phone_events(self, call: Call, key: str, *, payload_type: int = KEYS) -> list[RtpPacket]:
        """Wait until a key has come as RFC 4733 event, and return its packets."""
        number = "0123456789*#ABCD".index(key)

        def came() -> list[RtpPacket]:
            return [
                p for p in call.media.received if p.payload_type == payload_type and p.payload[0] == number
            ]

        return call.phone.wait(came, 10, f"key {key}")

    def host(self, *, load: float = 0.1) -> Host:
        """Return a living media host that the proxy knows."""
        host = Host(self, f"host{next(_SERIAL)}", load)
        self._phones.append(host)
        ip, port = host.address
        self.switch.insert("node", name=host.name, kind="media", host="n1", address=f"udp:{ip}:{port}")
        self.switch.save()
        host.live()
        return host
