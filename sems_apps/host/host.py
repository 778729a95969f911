"""A media host: takes calls, keeps their sessions, knows its load, drains. One thread, one loop.

Decides which calls it takes and when it may stop; what a call does is its session's. Database, files and
the clock of day come in as ports.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import unquote

from callcore.errors import BadInput
from callcore.ids import uuid7
from sems_apps.actions import CALLER
from sems_apps.dial_order import DialOrder
from sems_apps.events import CallbackDue, CallerArrived, DialDue, Event, HostStopping
from sems_apps.host import replacing, sdp
from sems_apps.host.acd_rows import AcdRow, callback_due
from sems_apps.host.ears import EarsClient, Hearing
from sems_apps.host.loop import Loop
from sems_apps.host.notify import NotifyServer
from sems_apps.host.opener import Opener
from sems_apps.host.ports import (
    Acd,
    Dialling,
    Entry,
    Ivr,
    Journal,
    Mailboxes,
    NoDialling,
    NoMailboxes,
    NoParking,
    Parking,
    Prompts,
    Rpc,
    Supervision,
)
from sems_apps.host.rtp_client import RtpClient
from sems_apps.host.session import Session
from sems_apps.host.sip_leg import SipLeg
from sems_apps.host.sip_stack import Address, InviteFacts, SipStack, Verdict, invite_facts
from sems_apps.ivr_actions import ScenarioCalled
from sems_apps.machines.autodial import AutoDial
from sems_apps.machines.hold_queue import HoldQueue
from sems_apps.machines.ivr_menu import IvrMenu
from sems_apps.machines.mailbox_menu import MailboxMenu
from sems_apps.machines.park import Park
from sems_apps.machines.table import Machine
from sems_apps.mailbox_actions import MailboxAsked
from sems_apps.park_actions import ParkAsked, PickupAsked
from sems_apps.settings import QueueSettings, settings_from

log = logging.getLogger("media")

#: How often every call is looked at for sides that have fallen silent.
SILENCE_LOOK_SECONDS = 2.0
#: The application that holds parked calls.
PARK = "park"
#: The application in which people listen to their voice mail.
MAILBOX = "mailbox"
#: Part of the capacity that calls of campaigns may fill.
DIAL_SHARE = 0.9
#: How often a draining host looks whether its last call has ended.
DRAIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What distinguishes one host from another."""

    #: Name of the node row: "n1-media-1".
    name: str
    #: Calls at once that it is good for.
    capacity: int = 500
    #: Internal socket of the proxy through which is called what no call of a proxy led to.
    proxy: Address = ("127.0.0.1", 5066)


@dataclass(frozen=True, slots=True)
class Load:
    """How much a host carries."""

    calls: int
    capacity: int
    draining: bool

    @property
    def load(self) -> float:
        """0 idle, 1 full."""
        return min(1.0, self.calls / self.capacity) if self.capacity else 1.0


class MediaHost:
    """The sessions of one process. Everything here runs on the loop."""

    def __init__(
        self,
        options: HostOptions,
        loop: Loop,
        address: Address,
        *,
        rtp: RtpClient,
        notify: NotifyServer,
        opener: Opener,
        acd: Acd,
        ivr: Ivr,
        prompts: Prompts,
        journal: Journal,
        rpc: Rpc,
        supervision: Supervision,
        accepts: Callable[[str], bool],
        next_hop: Callable[[Address, str], Address] = lambda proxy, target: proxy,
        proxy_silent: Callable[[Address], None] = lambda proxy: None,
    ) -> None:
        """Bind the SIP socket; raises OSError when it is in use.

        next_hop: (proxy that the call came from, target) to the proxy through which a leg is called.
        proxy_silent: told of a proxy that answered nothing to a call.
        """
        self.options, self.loop, self.owner = options, loop, options.name
        self.rtp, self.notify, self.opener, self.acd, self.ivr = rtp, notify, opener, acd, ivr
        self.prompts, self.journal, self.rpc, self.supervision = prompts, journal, rpc, supervision
        self.next_hop, self.proxy_silent = next_hop, proxy_silent
        self.sessions: dict[str, Session] = {}
        #: Told how dials of campaigns go; the program puts its port here.
        self.dialling: Dialling = NoDialling()
        #: Slots of parked calls; the program puts its port here.
        self.parking: Parking = NoParking()
        #: Voice mail; the program puts its port here.
        self.mailboxes: Mailboxes = NoMailboxes()
        #: Hears what dials hear; None: nobody listens.
        self.ears: EarsClient | None = None
        self.draining = False
        self.served = 0
        #: Told to stop: nobody can undo the draining any more.
        self.is_stopping = False
        self._stopped: Callable[[], None] | None = None
        self.stack = SipStack(
            loop, address, accepts=accepts, on_invite=self._invited, is_ready=lambda: not self.draining
        )

    @property
    def load_data(self) -> dict[str, object]:
        """What a heartbeat says."""
        load = self.load
        return {
            "load": round(load.load, 4),
            "calls": load.calls,
            "capacity": load.capacity,
            "draining": load.draining,
            "served": self.served,
        }

    @property
    def room(self) -> int:
        """How many calls more it may begin by itself; callers who come in are left a part of it."""
        if self.draining:
            return 0
        return max(0, int(self.options.capacity * DIAL_SHARE) - len(self.sessions))

    @property
    def load(self) -> Load:
        """How much this host carries now."""
        return Load(len(self.sessions), self.options.capacity, self.draining)

    # ---- calls come and go

    def _invited(self, request: Any, transaction: Any) -> Verdict:
        """Take a call, or refuse it so that the proxy tries another host."""
        facts = invite_facts(request)
        if facts.replaces:  # also while this host drains: it is no new call
            return self._replaced(request, transaction, facts)
        if facts.headers.get("x-ks-app", "").strip() == PARK:
            wanted = read_arguments(facts).get("pickup", "")
            if wanted:  # also while this host drains: else the parked call could not be saved
                return self._picked_up(request, transaction, facts, wanted)
        if self.draining or len(self.sessions) >= self.options.capacity:
            return request.genResponse(503, "Service Unavailable"), None, None
        try:
            entry, machine, first = read_call(facts)
        except BadInput as error:
            log.warning("refused %s: %s", facts.call_id, error.message)
            return request.genResponse(400, "Bad Arguments"), None, None
        if entry.call in self.sessions:  # the proxy repeated it on another branch
            return request.genResponse(482, "Call Exists"), None, None
        session = Session(self, entry, request.getSource(), machine)
        return self._begin(request, transaction, session, first)

    def _begin(self, request: Any, transaction: Any, session: Session, first: Event) -> Verdict:
        entry = session.entry
        try:
            leg, verdict = SipLeg.incoming(self.stack, session, CALLER, request, transaction)
            session.legs[CALLER] = leg
            entry.legs[CALLER] = leg.dialog
            session.prepare_media()
        except sdp.BadSdp as error:
            log.warning("refused %s: %s", entry.call, error.message)
            session.media.close()
            return request.genResponse(488, "Not Acceptable Here"), None, None
        self.sessions[entry.call] = session
        self.served += 1
        session.tell("media.arrive", a=entry.caller, queue=entry.queue or None, host=self.owner)
        self.loop.call_soon(lambda: session.post(first))
        return verdict

    def _replaced(self, request: Any, transaction: Any, facts: InviteFacts) -> Verdict:
        """Another call of a media host is to take over a leg that we have."""
        try:
            tenant = _number(read_arguments(facts), "tenant")
            return replacing.take_over(self.sessions.values(), facts.replaces, tenant, request, transaction)
        except (BadInput, sdp.BadSdp) as error:
            log.warning("refused to replace, %s: %s", facts.call_id, error)
            return request.genResponse(488, "Not Acceptable Here"), None, None

    def _picked_up(self, request: Any, transaction: Any, facts: InviteFacts, wanted: str) -> Verdict:
        """Somebody dials the slot of a call that is parked here."""
        session = self.sessions.get(wanted)
        if session is None or not isinstance(session.machine, Park):
            return request.genResponse(404, "Nobody Is Parked There"), None, None
        by, call = read_arguments(facts).get("caller", facts.caller), facts.headers.get("x-ks-call", "")
        try:
            verdict = session.take_in(request, transaction, lambda leg: PickupAsked(leg, by, call))
        except sdp.BadSdp as error:
            log.warning("refused %s: %s", call, error.message)
            return request.genResponse(488, "Not Acceptable Here"), None, None
        self.journal.event(
            "park.pickup", call=call or None, tenant=session.entry.tenant or None, parked=wanted
        )
        return verdict

    def begin_callback(self, entry: Entry, due: CallbackDue, proxy: Address) -> Session:
        """Begin a callback: nobody has called."""
        session = Session(self, entry, proxy, HoldQueue())
        self.sessions[entry.call] = session
        self.served += 1
        session.prepare_media()
        session.tell("media.callback", b=due.number, queue=entry.queue, host=self.owner)
        if due.is_heard:
            self._listen(session)
        session.post(due)
        return session

    def callback(self, row: AcdRow) -> Entry | None:
        """Begin the callback of a row; None: this host takes no calls now, the ACD finds another."""
        if self.draining:
            return None
        due = callback_due(row)
        call = str(row.data.get("call") or uuid7(time.time_ns() // 1_000_000, os.urandom(10)))
        queue, now = due.settings.queue, time.time()
        entry = Entry(call, row.tenant, queue, due.number, since=now, entry=row.entry, is_callback=True)
        self.begin_callback(entry, due, self.options.proxy)
        return entry

    def dial(self, order: DialOrder) -> Session:
        """Dial a lead of a campaign: nobody has called."""
        if self.ears is None:
            order = replace(order, decide_seconds=0.0)
        entry = Entry(order.call, order.tenant, order.queue, order.number, since=time.time())
        entry.options = {"variables": dict(order.variables)} if order.variables else {}
        session = Session(self, entry, self.options.proxy, AutoDial())
        self.sessions[entry.call] = session
        self.served += 1
        session.prepare_media()
        session.tell("media.originate", b=order.number, campaign=order.campaign, host=self.owner)
        self._listen(session)
        session.post(DialDue(order))
        return session

    def _listen(self, session: Session) -> None:
        """Have the person's leg listened to from its dial on, where somebody listens."""
        if self.ears is not None:
            session.hearing = Hearing(self.ears, session.media, session.post, session.tell, session.entry)

    def session_ended(self, session: Session) -> None:
        """A session is over."""
        self.dialling.forget(session.entry.call)
        self.parking.forget(session.entry)
        self.mailboxes.forget(session.entry)
        if self.sessions.get(session.entry.call) is session:
            del self.sessions[session.entry.call]
        self.acd.forget(session.entry)

    def post(self, call: str, event: Event) -> bool:
        """Give an event to a call; False: there is no such call here."""
        session = self.sessions.get(call)
        if session is not None:
            session.post(event)
        return session is not None

    def watch_silence(self) -> None:
        """Look at every call now and from now on; the looks are spread over the time between."""
        sessions = list(self.sessions.values())
        for number, session in enumerate(sessions):
            delay = SILENCE_LOOK_SECONDS * number / len(sessions)
            self.loop.call_later(delay, partial(self._look_at, session))
        self.loop.call_later(SILENCE_LOOK_SECONDS, self.watch_silence)

    def _look_at(self, session: Session) -> None:
        session.look_for_silence(self.loop.now())

    # ---- stopping

    def drain(self) -> None:
        """Take no new call."""
        self.draining = True

    def stop(self, wait_seconds: float, stopped: Callable[[], None]) -> None:
        """Drain, wait for the conversations, then end what is left (who waits keeps the place), and tell."""
        self.drain()
        self.is_stopping, self._stopped = True, stopped
        deadline = self.loop.now() + wait_seconds
        self._wait_drained(deadline)

    def _wait_drained(self, deadline: float) -> None:
        late = self.loop.now() >= deadline
        for session in list(self.sessions.values()):
            # Who only waits is served sooner elsewhere: another host has his place.
            if late or not session.machine.is_conversation:
                session.post(HostStopping())
        if self.sessions:
            self.loop.call_later(DRAIN_SECONDS, lambda: self._wait_drained(deadline))
        elif self._stopped is not None:
            self._stopped()

    def close(self) -> None:
        """End every call at once and close the sockets."""
        for session in list(self.sessions.values()):
            session.close("host closed")
        if self.ears is not None:
            self.ears.close()
        self.stack.close()
        self.rtp.close()
        self.notify.close()
        self.opener.close()


def read_call(facts: InviteFacts) -> tuple[Entry, Machine, Event]:
    """Read which application an INVITE of the proxy wants, and its first event; raises BadInput."""
    arguments = read_arguments(facts)
    application = facts.headers.get("x-ks-app", "hold_queue").strip()
    if application == "ivr_menu":
        entry = _entry(facts, arguments, queue=0)
        return entry, IvrMenu(), _scenario_called(entry, arguments)
    if application == PARK:
        entry = _entry(facts, arguments, queue=0)
        slot, parker = arguments.get("slot", ""), arguments.get("parker", "")
        number = int(slot) if slot.isascii() and slot.isdigit() and len(slot) < 3 else 0
        code = arguments.get("code", "")
        return entry, Park(), ParkAsked(entry.caller, entry.tenant, number, parker, code)
    if application == MAILBOX:
        entry = _entry(facts, arguments, queue=0)
        if not arguments.get("mailbox"):
            raise BadInput("X-KS-Arg has no mailbox")
        return entry, MailboxMenu(), MailboxAsked(arguments["mailbox"], arguments.get("own") == "yes")
    if application != "hold_queue":
        raise BadInput(f"there is no application {application[:40]!r}")
    entry = _entry(facts, arguments, _number(arguments, "queue"))
    known = {name: value for name, value in arguments.items() if name not in ("tenant", "queue")}
    settings = settings_from(known, QueueSettings(tenant=entry.tenant, queue=entry.queue))
    return entry, HoldQueue(), CallerArrived(entry.caller, settings)


def _scenario_called(entry: Entry, arguments: dict[str, str]) -> ScenarioCalled:
    scenario, prompt = arguments.get("scenario", ""), arguments.get("prompt", "")
    if bool(scenario) == bool(prompt):
        raise BadInput("X-KS-Arg names neither a scenario nor a prompt")
    called, then = arguments.get("called", ""), arguments.get("then", "")
    return ScenarioCalled(entry.caller, called, entry.caller_name, scenario, prompt, entry.tenant, then)


def read_arguments(facts: InviteFacts) -> dict[str, str]:
    """Read X-KS-Arg of an INVITE of the proxy."""
    arguments: dict[str, str] = {}
    for item in facts.headers.get("x-ks-arg", "").split(";"):
        name, found, value = item.partition("=")
        if found:
            arguments[name.strip()] = unquote(value.strip())
    return arguments


def _entry(facts: InviteFacts, arguments: dict[str, str], queue: int) -> Entry:
    tenant = _number(arguments, "tenant")
    caller = arguments.get("caller", facts.caller)
    return Entry(
        facts.headers.get("x-ks-call") or str(uuid7(time.time_ns() // 1_000_000, os.urandom(10))),
        tenant,
        queue,
        "" if caller == "anonymous" else caller,
        caller_name=arguments.get("caller_name", facts.caller_name),
        since=time.time(),
        proxy=arguments.get("proxy", ""),
        called=arguments.get("called", ""),
    )


def _number(arguments: dict[str, str], name: str) -> int:
    text = arguments.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise BadInput(f"X-KS-Arg has no {name}", name=name)
    return int(text)
