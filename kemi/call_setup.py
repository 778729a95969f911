"""Set-up of a call: identity, call id, routing decision, limits, first target. Shell around ks_route.decide."""

from __future__ import annotations

from dataclasses import replace

from callcore.cdr import cause_of
from callcore.diversion import Diversion
from callcore.sip import SipCode, reason_phrase
from kemi import (
    acd_events,
    application_calls,
    attempts,
    call_token,
    forwarding,
    hosted_media,
    limits,
    lines,
    park,
    peers,
    queue_calls,
    ringing,
    service_calls,
    star_codes,
)
from kemi.admission import Sender, identify, is_internal
from kemi.call_state import CallState, Target
from kemi.forwarding import Arrived
from kemi.hosted_call import ToHost
from kemi.ks_acd.media_host import HostLeg
from kemi.ks_acd.model import QueueRecord
from kemi.ks_route.decide import decide
from kemi.ks_route.model import (
    Decision,
    DestinationKind,
    Direction,
    RedirectCall,
    RejectCall,
    RelayToAccount,
    RelayToGateways,
    RelayToUri,
    RouteRequest,
    ToService,
)
from kemi.ksr_port import NAT_TESTS_MEDIA
from kemi.leg import kind_of, write_dialog
from kemi.presentation import (
    ANONYMOUS_HOST,
    ANONYMOUS_NAME,
    ANONYMOUS_URI,
    IDENTITY_HEADERS,
    identity_in,
    is_hidden,
    wants_hiding,
)
from kemi.proxy_start import RECOVERED, RECOVERED_LEG
from kemi.recording_choice import ROUTE, with_recording
from kemi.routing_facts import make_world
from kemi.sip_request import SipRequest
from kemi.targets import targets_of
from kemi.worker import Worker


def invite(worker: Worker, sip: SipRequest) -> None:
    """Serve an INVITE that opens a dialog."""
    # Before identity: a nonce of the time before a restart is stale now, and an INVITE repeated with a fresh one has
    # another CSeq, so the challenge itself would make the second call.
    if _seen_before(worker, sip):
        return
    sender = identify(worker, sip)
    if sender is None:
        return
    call_id = _begin(worker, sip, sender)
    request = _route_request(worker, sip, sender, call_id)
    hidden_once: bool | None = None
    hosted: Decision | None = park.parked(worker, request)
    if isinstance(hosted, park.ToPark):
        request = park.of_tenant(request, hosted)
        if _hides(worker, sip, sender, None):
            hosted = replace(hosted, a_sent="anonymous")
    elif sender.account is not None and request.b_number[:1] in _CODE_SIGNS:
        dialled = star_codes.dialled_code(worker, request)
        if dialled is not None:
            wish = star_codes.serve(worker, sip, sender.account, request, dialled)
            if wish is None:
                worker.journal.flush()
                return
            request, hidden_once, hosted = wish.request, wish.hidden, wish.hosted
    if hosted is not None:
        decision, arrived = hosted, Arrived(hosted)
    elif sender.leg is not None:
        decision = application_calls.decision(worker, sender.leg, request)
        arrived = Arrived(decision)
    else:
        way = decide(request, worker.directory.routes, make_world(worker))
        if not way.emergency and _hides(worker, sip, sender, hidden_once):
            way = replace(way, hidden=True)
        arrived = forwarding.arrive(worker, way, call_id)
        decision = with_recording(worker, sender, arrived.decision)
    _journal_start(worker, sip, sender, request, decision, call_id)
    if arrived.diversions:
        forwarding.tell(worker, call_id, decision.tenant_id, arrived.diversions, decision.b_sent)
    _follow(worker, sip, sender, decision, call_id, arrived)
    worker.journal.flush()


def _begin(worker: Worker, sip: SipRequest, sender: Sender) -> str:
    """Give the call its id and its transaction; return the id."""
    given = sender.leg.call_id if sender.leg else None
    call_id = str(given) if given else worker.new_call_id()
    worker.port.name_call(call_id)
    worker.port.table_set("seen", peers.request_key(worker, sip), call_id)
    # Who came through another proxy has his alias from there. It must be in the message that the transaction keeps:
    # what a failure route sends is made of that.
    if application_calls.may_go_on(sender.leg) and worker.port.is_behind_nat():
        worker.port.add_contact_alias()
    worker.port.new_transaction()
    return call_id


#: A user part that may be a code: * and #, the latter mostly escaped.
_CODE_SIGNS = ("*", "#", "%")


def _hides(worker: Worker, sip: SipRequest, sender: Sender, once: bool | None) -> bool:
    """Tell whether the caller hides his number from the called."""
    asked = wants_hiding(worker.port.header("Privacy") or "", sip.from_user, sip.from_host)
    always = False
    if sender.account is not None:
        services = worker.directory.services(sender.account.tenant_id, sender.account.username)
        always = services is not None and services.hide_number
    return is_hidden(asked=asked, always=always, once=once)


def _follow(
    worker: Worker, sip: SipRequest, sender: Sender, decision: Decision, call_id: str, arrived: Arrived
) -> None:
    """Do what was decided."""
    queue = queue_of(worker, decision)
    if queue is not None:
        worker.journal.flush()  # the database may keep us waiting
        _to_queue(worker, sip, sender, decision, call_id, queue)
    elif service_calls.serves(decision):
        _to_service(worker, sip, sender, decision, call_id)
    elif isinstance(decision, RejectCall | RedirectCall | ToService):
        _answer(worker, decision, call_id, sender.leg_name)
    else:
        _relay(worker, sip, sender, decision, call_id, arrived)


def queue_of(worker: Worker, decision: Decision) -> QueueRecord | None:
    """Return the queue that a call is to enter; None if it is to do something else, or there is no such queue."""
    if not isinstance(decision, ToService) or decision.kind is not DestinationKind.QUEUE:
        return None
    return worker.directory.queue(decision.tenant_id, decision.name)


def _seen_before(worker: Worker, sip: SipRequest) -> bool:
    """Answer an INVITE that has a call already (contracts.md 3: Call-ID, From tag and CSeq are unique for a call).

    No transaction knows it, so either it came back to us (loop), or the proxy restarted since it was relayed: then
    the call lives on at the callee, whose answer will pass by Via; a second INVITE would make a second call.
    """
    known = worker.port.table_text("seen", peers.request_key(worker, sip))
    if known is None:
        return False
    if known.startswith(RECOVERED):
        call_id = known.removeprefix(RECOVERED).removesuffix(RECOVERED_LEG)
        worker.journal.event("call.retransmission", call=call_id, src=sip.source)
        worker.port.reply(SipCode.TRYING, "Trying")
    else:
        worker.journal.event("call.loop", call=known, src=sip.source)
        worker.port.reply(SipCode.LOOP_DETECTED, "Loop Detected")
    return True


def _route_request(worker: Worker, sip: SipRequest, sender: Sender, call_id: str) -> RouteRequest:
    """Build what ks_route wants to know; A of an account is the account, whatever its From says."""
    b_number = sip.ruri_user
    tenant_id = sender.tenant.tenant_id if sender.tenant else 0
    direction = Direction.APPLICATION
    a_number = sender.account.username if sender.account else sip.from_user
    if sender.gateway is not None and sender.gateway.trusted:
        identity = identity_in(worker.port.header("P-Asserted-Identity") or "")
        a_number = identity.user if identity is not None else a_number
    if sender.gateway is not None:
        direction = Direction.GATEWAY
        trunk = sender.gateway.trunk
        # A carrier that knows us by registration calls our Contact; the number is in To (RFC 3261 section 16.5).
        if trunk is not None and b_number in (trunk.contact_user, trunk.username):
            b_number = trunk.username if sip.to_user in ("", trunk.contact_user) else sip.to_user
        if sender.tenant is None:
            owner = worker.directory.number(b_number.removeprefix("+"))
            tenant_id = owner.tenant_id if owner is not None and owner.tenant_id else 0
    elif sender.account is not None:
        direction = Direction.ACCOUNT
    return RouteRequest(
        tenant_id=tenant_id,
        direction=direction,
        a_number=a_number,
        a_host=sip.from_host,
        b_number=b_number,
        b_host=sip.ruri_host,
        source_gateway_id=sender.gateway.gateway_id if sender.gateway else None,
        account=sender.account.username if sender.account else None,
        account_caller_number=sender.account.caller_number if sender.account else None,
        call_id=call_id,
    )


def _journal_start(
    worker: Worker, sip: SipRequest, sender: Sender, request: RouteRequest, decision: Decision, call_id: str
) -> None:
    journal = worker.journal
    leg = sender.leg_name
    journal.event_with_next(
        kind_of("call.start", leg),
        call=call_id,
        tenant=request.tenant_id,
        a=request.a_number,
        a_host=request.a_host,
        b=request.b_number,
        b_host=request.b_host,
        direction=request.direction.value,
        account=request.account,
        gateway=request.source_gateway_id,
        src=sip.source,
        transport=sip.transport,
        sip_call_id=sip.sip_call_id,
        from_tag=sip.from_tag,
        cseq=sip.cseq,
        emergency=decision.emergency,
        **(_of_leg(sender.leg) if sender.leg else {}),
    )
    journal.event_with_next(
        kind_of("call.route", leg),
        call=call_id,
        tenant=request.tenant_id,
        route_ids=list(decision.hops),
        decision=type(decision).__name__,
        a_sent=decision.a_sent,
        b_sent=decision.b_sent,
        region=decision.b_region,
        operator=decision.b_operator,
        options=decision.options.to_json(),
        targets=_targets_for_story(decision),
        reason=decision.reason,
    )


def _of_leg(leg: HostLeg) -> dict[str, object]:
    """Return what the story tells of a leg; a restart tells by `hop` one INVITE of another proxy from the next."""
    return {"leg": leg.leg, "offer": leg.offer_id or None, "hop": leg.arg.get(peers.HOP)}


def _targets_for_story(decision: Decision) -> list[dict[str, object]]:
    if isinstance(decision, RelayToGateways):
        tried: list[dict[str, object]] = [
            {
                "gateway_id": target.gateway_id,
                "name": target.name,
                "cost": None if target.cost is None else str(target.cost),
            }
            for target in decision.targets
        ]
        return tried + [
            {"gateway_id": entry.gateway_id, "skipped": entry.reason} for entry in decision.skipped
        ]
    if isinstance(decision, RelayToAccount):
        return [{"account": decision.username}]
    if isinstance(decision, RelayToUri):
        return [{"uri": decision.uri}]
    if isinstance(decision, ToService):
        return [{"service": decision.kind.value, "name": decision.name}]
    if isinstance(decision, ToHost):
        return [{"service": decision.application, "name": decision.b_sent}]
    return []


def _answer(
    worker: Worker, decision: RejectCall | RedirectCall | ToService, call_id: str, leg: str = ""
) -> None:
    """Give the final response that the decision itself is."""
    if isinstance(decision, RedirectCall):
        for contact in decision.contacts:
            worker.port.append_reply_header(f"Contact: <{contact}>")
        code, phrase = int(SipCode.MOVED_TEMPORARILY), "Moved Temporarily"
    elif isinstance(decision, ToService):
        code, phrase = int(SipCode.SERVICE_UNAVAILABLE), f"No {decision.kind.value} Service"
    else:
        code, phrase = decision.code, decision.phrase or reason_phrase(decision.code)
    no_route = isinstance(decision, RejectCall) and code == SipCode.NOT_FOUND and not decision.hops
    finish(
        worker,
        call_id,
        code,
        phrase,
        tenant_id=decision.tenant_id,
        cause="no_route" if no_route else cause_of(code),
        reason=decision.reason or phrase,
        leg=leg,
    )


def finish(
    worker: Worker,
    call_id: str,
    code: int,
    phrase: str,
    *,
    tenant_id: int | None,
    cause: str,
    reason: str,
    leg: str = "",
) -> None:
    """Answer a call that has no dialog yet, and write its end."""
    worker.journal.event(
        kind_of("call.end", leg),
        call=call_id,
        tenant=tenant_id,
        by="system",
        code=code,
        cause=cause,
        reason=reason,
        method="reject",
    )
    if leg:
        worker.port.mark_own_reply()
    worker.port.reply(code, phrase)


def _relay(
    worker: Worker, sip: SipRequest, sender: Sender, decision: Decision, call_id: str, arrived: Arrived
) -> None:
    """Open the dialog, keep the limits, and try the first target."""
    targets = targets_of(worker, decision, others=application_calls.may_go_on(sender.leg))
    targets = forwarding.shorten(targets, arrived.ring_seconds)
    if not targets:
        code = SipCode.TEMPORARILY_UNAVAILABLE
        finish(
            worker,
            call_id,
            code,
            "Temporarily Unavailable",
            tenant_id=decision.tenant_id,
            cause=cause_of(code),
            reason="no target",
            leg=sender.leg_name,
        )
        return
    pickup = arrived.pickup or ringing.in_pickup_group(worker, decision.tenant_id, targets)
    state = _open(worker, sip, sender, decision, call_id, targets, arrived.diversions, pickup_allowed=pickup)
    if state is None:
        return
    agents = _agents_in(sender, targets)
    if agents:
        acd_events.begin_legs(worker, decision.tenant_id, agents, decision.b_sent)
    attempts.try_next(worker, state, forwarding.divert)


def _show_caller(
    worker: Worker, sip: SipRequest, sender: Sender, decision: Decision, state: CallState
) -> None:
    """Tell those who watch the caller's line that it calls."""
    if sender.account is not None:
        called = decision.username if isinstance(decision, RelayToAccount) else sip.ruri_user
        lines.begin(worker, state, sender.account.username, called)


def _to_queue(
    worker: Worker, sip: SipRequest, sender: Sender, decision: Decision, call_id: str, queue: QueueRecord
) -> None:
    """Open the dialog, keep the limits, and let the queue have the caller."""
    if sender.leg is not None:
        call_id = worker.new_call_id()  # a call waits in one queue; this leg's call may have an entry already
    state = _open(worker, sip, sender, decision, call_id, ())
    if state is not None:
        queue_calls.begin(worker, state, queue, decision.a_sent, decision.b_sent)


def _to_service(worker: Worker, sip: SipRequest, sender: Sender, decision: Decision, call_id: str) -> None:
    """Open the dialog, keep the limits, and let a media host run the scenario."""
    if sender.leg is not None:
        call_id = worker.new_call_id()  # a host runs one application a call; this leg's call has one already
    state = _open(worker, sip, sender, decision, call_id, ())
    if state is not None:
        service_calls.begin(worker, state, decision)


def _open(
    worker: Worker,
    sip: SipRequest,
    sender: Sender,
    decision: Decision,
    call_id: str,
    targets: tuple[Target, ...],
    diversions: tuple[Diversion, ...] = (),
    *,
    pickup_allowed: bool = False,
) -> CallState | None:
    """Open the dialog of a call; None when it breaks a limit, and was answered."""
    port, options = worker.port, decision.options
    caller_nat = port.is_behind_nat(NAT_TESTS_MEDIA) if options.nat is None else options.nat
    state = CallState(
        call_id=call_id,
        tenant_id=decision.tenant_id,
        remaining=targets,
        emergency=decision.emergency,
        caller_nat=caller_nat and sender.leg is None,
        media_relay=_media_mode(decision, sender),
        leg=sender.leg_name,
        hosted=sender.leg is not None and application_calls.is_hosted(sender.leg),
        diversions=tuple(entry.encode() for entry in diversions),
        hidden=decision.hidden,
        pickup=pickup_allowed,
    )
    port.track_dialog()
    refusal = None
    if sender.leg is None or application_calls.is_limited(sender.leg):
        refusal = limits.enter(worker, decision, account=sender.account, tenant=sender.tenant)
    if refusal is None and diversions:
        refusal = forwarding.enter(worker, decision.tenant_id, diversions)
    if refusal is not None:
        attempts.end_call(worker, state, int(SipCode.FORBIDDEN), by="system", reason=refusal)
        if state.leg:
            port.mark_own_reply()
        port.reply(SipCode.FORBIDDEN, "Call Limit Reached")
        return None
    _describe_dialog(worker, decision, state)
    _show_caller(worker, sip, sender, decision, state)
    if sender.account is not None and sender.account.username != decision.a_sent:
        port.set_dialog(park.CALLER, sender.account.username)
    if options.record:
        numbers = {"a": decision.a_sent, "b": decision.b_sent}
        worker.rtp.record(
            state.call_id, by=decision.recorded_by or ROUTE, tenant=decision.tenant_id, **numbers
        )
    _present(worker, sip, decision)
    token = call_token.CallToken(call_id, state.caller_nat)
    port.record_route(call_token.seal(worker.secret, token, sip.sip_call_id))
    return state


def _agents_in(sender: Sender, targets: tuple[Target, ...]) -> tuple[tuple[int, str], ...]:
    """Return the accounts of agents whom an ordinary call makes busy, with the direction of each."""
    if sender.leg is not None and sender.leg.offer_id:
        return ()  # the offer says it already
    caller = sender.account
    calling = ((caller.account_id, "out"),) if caller is not None and caller.agent_id is not None else ()
    called = tuple((target.agent_account, "in") for target in targets[:1] if target.agent_account is not None)
    return calling + called


def _media_mode(decision: Decision, sender: Sender) -> str:
    """Return what route and sender ask of the relay.

    The route is the more binding, a media host's anchor the most; to record means to relay.
    """
    if sender.leg is not None:
        return "never" if application_calls.is_hosted(sender.leg) else "auto"
    if decision.options.record:  # only what is relayed can be
        return "always"
    if decision.options.relay not in (None, "auto"):
        return str(decision.options.relay)
    party = sender.account or sender.gateway
    return party.media_relay if party is not None else "auto"


def _describe_dialog(worker: Worker, decision: Decision, state: CallState) -> None:
    """Leave in the dialog what later requests, events and `call live` need."""
    port, options = worker.port, decision.options
    if state.leg:
        port.set_dialog("ks_leg", write_dialog(state.call_id, state.leg))
        if state.hosted:
            hosted_media.mark(worker)
            hosted_media.mark_host(worker, f"{port.text('$si')}:{port.text('$sp')}")
    else:
        port.set_dialog("ks_call", state.call_id)
    port.set_dialog("ks_tenant", "" if state.tenant_id is None else str(state.tenant_id))
    port.set_dialog("ks_a", decision.a_sent)
    port.set_dialog("ks_b", decision.b_sent)
    port.watch_dialog()
    if options.max_duration_seconds is not None and not state.emergency:
        port.limit_dialog(options.max_duration_seconds)
        port.set_dialog("ks_limit", str(options.max_duration_seconds))


def _present(worker: Worker, sip: SipRequest, decision: Decision) -> None:
    """Show the callee the A number of the decision, and offer only the codecs of the route."""
    port = worker.port
    if is_internal(worker, sip):  # from others they are gone since the first look
        port.remove_internal_headers()
    relayed = isinstance(decision, RelayToGateways | RelayToUri | RelayToAccount)
    for name in IDENTITY_HEADERS:
        port.remove_header(name)
    if decision.hidden and relayed:
        port.replace_from(ANONYMOUS_NAME, ANONYMOUS_URI)
        port.replace_header("Privacy", "id")
    elif relayed and decision.a_sent != sip.from_user:
        host = sip.from_host if sip.from_host != ANONYMOUS_HOST else sip.ruri_host
        port.replace_from("", f"sip:{decision.a_sent}@{host}")
    if decision.options.codecs and port.has_body():
        port.keep_codecs(",".join(decision.options.codecs))
