"""One attempt after the other: sends a call to its next target, and decides what a failure means. Shell.

The decision (does this code fail over, is the gateway penalised) is callcore.gateway.should_fail_over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from callcore.cdr import cause_of
from callcore.diversion import Diversion, headers
from callcore.gateway import penalty_after_failures, should_fail_over
from callcore.sip import SipCode, reason_phrase
from kemi import forking, lines, media_policy, media_relay, peers, ringing
from kemi.call_state import END_TOLD, CallState, Target, decode
from kemi.leg import kind_of
from kemi.proxy_start import is_settling
from kemi.tenancy import tenant_by_id
from kemi.worker import Worker


@dataclass(frozen=True, slots=True)
class Routes:
    """Names of the callbacks that see a call in set-up (methods of kemi/kamailio.py)."""

    branch: str
    reply: str
    failure: str


#: An ordinary call.
CALL = Routes("ksr_branch_manage", "ksr_onreply_manage", "ksr_failure_manage")
#: A leg that a media host asked for.
HOSTED = Routes("ksr_branch_manage", "ksr_onreply_hosted", "ksr_failure_manage")


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt failed, and whether the next target is tried."""

    code: int
    reason: str
    failover: bool
    #: Our timer ended it.
    silent: bool
    #: The callee had rung before.
    alerted: bool


#: Transaction variable: the state of a call in set-up.
STATE = "ks_state"
_CHALLENGES = (SipCode.UNAUTHORIZED, SipCode.PROXY_AUTHENTICATION_REQUIRED)
#: Transaction variable, with the number of a branch: number of the relay in the SDP that this branch was offered.
RELAYED = "ks_relay_"
#: In place of the number: the branch wants a relay, but the callee will make the offer, in its reply.
LATE_OFFER = "late"
#: Begins the key in table "ring" of a call that is being taken at another phone (kemi/pickup.py).
TAKEN_BY = "taken\n"
#: Asks a phone to answer by itself, in the words of the two sorts that there are.
ANSWER_AT_ONCE = (
    "Call-Info: <sip:pickup@kalibri.invalid>;answer-after=0",
    "Alert-Info: <http://kalibri.invalid>;info=alert-autoanswer;delay=0",
)
#: Transaction variable: a branch was not sent, because the relay that it needs could not be had.
_NO_MEDIA = "ks_no_media"


def load(worker: Worker) -> CallState | None:
    """Return the state of the call whose transaction is handled."""
    return decode(worker.port.avp(STATE))


def store(worker: Worker, state: CallState) -> None:
    """Keep the state in the transaction."""
    worker.port.set_avp(STATE, state.encode())


#: Sends a call that its target did not take elsewhere; False: it goes nowhere else.
Divert = Callable[[Worker, CallState, AttemptEnd], bool]


def _nowhere_else(worker: Worker, state: CallState, end: AttemptEnd) -> bool:
    return False


def try_next(worker: Worker, state: CallState, divert: Divert = _nowhere_else) -> None:
    """Send the call to its next target that can be sent to; else where `divert` sends it; else answer it."""
    exhausted = try_targets(worker, state, HOSTED if state.hosted else CALL)
    if exhausted is None:
        return
    unreachable = AttemptEnd(
        int(SipCode.TEMPORARILY_UNAVAILABLE), "not registered", failover=False, silent=False, alerted=False
    )
    if lacks_media(worker) or not divert(worker, exhausted, unreachable):
        _give_up(worker, exhausted)


def try_targets(worker: Worker, state: CallState, routes: Routes) -> CallState | None:
    """Send the call to its next target that can be sent to; return the state without targets if there is none."""
    while (following := state.next_attempt()) is not None:
        state, target = following, state.remaining[0]
        if not _may_carry(worker, state, target):
            _journal_end(worker, state, 0, "gateway is full", failover=True)
            continue
        store(worker, state)
        _journal_attempt(worker, state, target)
        if not _aim(worker, state, target):
            _journal_end(worker, state, int(SipCode.TEMPORARILY_UNAVAILABLE), "not registered", failover=True)
            _leave(worker, target)
            continue
        if state.pickup:
            ringing.note(worker, state, target)
        lines.ring(worker, state, forking.here(worker, target))
        if _send(worker, target, routes):
            return None
        _journal_end(worker, state, int(SipCode.SERVICE_UNAVAILABLE), "cannot be sent", failover=True)
        _leave(worker, target)
    return state


def _may_carry(worker: Worker, state: CallState, target: Target) -> bool:
    """Enter the gateway's profile, unless it is full; an emergency call always may."""
    if target.gateway_id is None:
        return True
    gateway = worker.directory.system.gateways.get(target.gateway_id)
    if gateway is None:
        return False
    worker.port.enter("gateway", str(target.gateway_id))
    full = (
        gateway.max_calls is not None
        and worker.port.count("gateway", str(target.gateway_id)) > gateway.max_calls
    )
    if full and not state.emergency:
        _leave(worker, target)
        return False
    return True


def _leave(worker: Worker, target: Target) -> None:
    if target.gateway_id is not None:
        worker.port.leave("gateway", str(target.gateway_id))


def _aim(worker: Worker, state: CallState, target: Target) -> bool:
    """Point the request at the target; False when an account has no contact."""
    port = worker.port
    port.clear_next_hop()
    if target.kind in ("host", peers.PEER):
        port.send_from("internal")
    elif state.leg or state.queue is not None:
        # Kamailio would answer a media host's call from the socket that it came in on, or where the last host was.
        port.send_from("public")
    if target.kind == "account":
        return forking.aim(worker, target)
    if target.next_hop:
        port.set_next_hop(target.next_hop)
    return port.set_ruri(target.uri)


def _send(worker: Worker, target: Target, routes: Routes) -> bool:
    port = worker.port
    port.set_timers(ring_timeout_ms=target.ring_timeout_ms, no_reply_timeout_ms=target.no_reply_timeout_ms)
    port.arm(branch=routes.branch, reply=routes.reply, failure=routes.failure)
    return port.relay()


def _give_up(worker: Worker, state: CallState) -> None:
    """Answer a call that has no target left."""
    port = worker.port
    media_relay.end_set_up(worker)
    to_account = state.current is not None and state.current.kind in ("account", peers.PEER)
    code, phrase = SipCode.SERVICE_UNAVAILABLE, reason_phrase(SipCode.SERVICE_UNAVAILABLE)
    cause, reason = "unavailable", "no target could be reached"
    if port.avp(_NO_MEDIA) == "1":
        phrase, reason = "No Media Relay", "no media relay could be had"
    elif to_account:
        code, phrase = SipCode.TEMPORARILY_UNAVAILABLE, reason_phrase(SipCode.TEMPORARILY_UNAVAILABLE)
        cause = "offline"
    end_call(worker, state, int(code), by="system", cause=cause, reason=reason)
    if state.leg and not to_account:
        port.mark_own_reply()
    port.reply(code, phrase)


def end_call(
    worker: Worker, state: CallState, code: int, *, by: str, reason: str, cause: str | None = None
) -> None:
    """Write the end of a call that was never answered, once: the dialog event that may follow knows less.

    cause: a key of callcore.cdr.CAUSE_TEXTS, by default what the code means; reason: plain words.
    """
    method = "CANCEL" if by == "caller" else "reject"
    worker.port.set_dialog(END_TOLD, "1")
    worker.journal.event(
        kind_of("call.end", state.leg),
        call=state.call_id,
        tenant=state.tenant_id,
        by=by,
        code=code,
        cause=cause or cause_of(code, method),
        reason=reason,
        method=method,
    )


def end_media(worker: Worker) -> None:
    """End what the offers of this call have opened at the relay: the next branch gets fresh ports, or a media host."""
    media_relay.end_set_up(worker)


def lacks_media(worker: Worker) -> bool:
    """Tell whether a branch was not sent because the relay that it needs could not be had."""
    return worker.port.avp(_NO_MEDIA) == "1"


def branch(worker: Worker) -> None:
    """Prepare one branch of the INVITE: put the media relay into the SDP where it is needed."""
    port = worker.port
    state = load(worker)
    if state is None or state.current is None:
        return
    for line in _told_proxy(worker, state, state.current):
        port.append_header(line)
    if state.current.asserted:
        port.append_header(state.current.asserted)
    taken_by = port.table_text(ringing.TABLE, f"{TAKEN_BY}{state.call_id}") if state.pickup else None
    if taken_by is not None:
        port.set_avp(f"{forking.MEMBER}{port.branch_index()}", taken_by)
        for line in ANSWER_AT_ONCE:
            port.append_header(line)
    if state.diversions:
        for line in _told_diversions(worker, state, state.current):
            port.append_header(line)
    modes = (state.media_relay, state.current.media_relay)
    if not media_policy.relay_wanted(
        caller_nat=state.caller_nat, callee_nat=port.branch_is_nated(), modes=modes
    ):
        return
    if not port.has_body():  # RFC 3261 section 13.2.1
        port.set_avp(f"{RELAYED}{port.branch_index()}", LATE_OFFER)
        return
    relay = media_relay.offer(worker, media_policy.offer_flags(sender_nat=state.caller_nat))
    port.set_avp(f"{RELAYED}{port.branch_index()}", str(relay))
    media_relay.keep_in_dialog(worker, relay)  # for UPDATE and PRACK before the answer
    if not relay:
        # Half a relay is a deaf call (contracts.md 7): the branch is not sent, the failure is told.
        worker.journal.event("media.unavailable", call=state.call_id, tenant=state.tenant_id)
        port.set_avp(_NO_MEDIA, "1")
        port.drop_branch()


def _told_proxy(worker: Worker, state: CallState, target: Target) -> tuple[str, ...]:
    """Return what another proxy is told, where this branch goes to one."""
    if target.kind == peers.PEER:
        return peers.headers(state)
    names = forking.begin_branch(worker) if target.kind == "account" else []
    return peers.headers(state, names[1:]) if names else ()


def _told_diversions(worker: Worker, state: CallState, target: Target) -> tuple[str, ...]:
    tenant = tenant_by_id(worker.directory.system, state.tenant_id or 0)
    host = tenant.realm if tenant is not None else worker.port.text("$fd")
    done = tuple(Diversion.decode(text) for text in state.diversions)
    outside = target.kind not in ("account", peers.PEER)
    return headers(done, host, outside=outside, target=target.uri)


def failure(worker: Worker, divert: Divert = _nowhere_else) -> None:
    """The last branch of an attempt failed: the next target, another destination, or the response for the caller."""
    port = worker.port
    state = load(worker)
    if state is None or state.current is None:
        return
    # This process, maybe a timer's, may not have seen a request since a gateway was added or changed.
    worker.refresh_directory()
    code = port.number("$T_reply_code")
    if port.is_cancelled():
        cancelled(worker, state)
        return
    routes = HOSTED if state.hosted else CALL
    if authenticated(worker, state, code, routes):
        return
    end = judge(worker, state, code)
    if end.failover:
        next_target(worker, state)
        try_next(worker, _without_his_other_ways(state, end), divert)
    elif not divert(worker, state, end):
        conclude(worker, state, end)


def _without_his_other_ways(state: CallState, end: AttemptEnd) -> CallState:
    """Leave out the other proxies for a member of a hunt group whose phone has answered here."""
    current = state.current
    if current is None or not current.group or (end.silent and not end.alerted):
        return state
    left = (
        target
        for target in state.remaining
        if target.kind != peers.PEER or target.username != current.username
    )
    return state.evolve(remaining=tuple(left))


def cancelled(worker: Worker, state: CallState) -> None:
    """End a call whose caller gave up."""
    code = int(SipCode.REQUEST_TERMINATED)
    _journal_end(worker, state, code, "cancelled", failover=False)
    media_relay.end_set_up(worker)
    end_call(worker, state, code, by="caller", reason="cancelled by the caller")


def judge(worker: Worker, state: CallState, code: int) -> AttemptEnd:
    """Decide what the end of the current attempt means, note it, and count it against its gateway."""
    silent, alerted = worker.port.timed_out(), rang(worker, state)
    verdict = should_fail_over(
        None if silent else code,
        had_provisional=alerted,
        retry_after_seconds=_retry_after(worker),
    )
    _judge_gateway(worker, state, verdict.penalty_seconds, verdict.gateway_failed, code)
    hunting = state.current is not None and state.current.group != ""
    wanted = verdict.try_next or hunting or peers.has_no_contact(state, code)
    failover = wanted and bool(state.remaining)
    _journal_end(worker, state, code, verdict.reason, failover=failover, failed=verdict.gateway_failed)
    return AttemptEnd(code, verdict.reason, failover, silent, alerted)


def next_target(worker: Worker, state: CallState) -> None:
    """Leave the target that failed, before another branch is made."""
    if state.current is not None:
        _leave(worker, state.current)
        if state.pickup:
            ringing.forget(worker, state, state.current)
        lines.ring(worker, state, [])
    # Else tm would judge the next attempt, and answer the caller, by the best response of all attempts.
    worker.port.forget_replies()


def conclude(worker: Worker, state: CallState, end: AttemptEnd) -> None:
    """End a call whose last attempt failed; tm sends its response to the caller, unless we put another in its place."""
    media_relay.end_set_up(worker)
    code, by, cause = end.code, "callee", cause_of(end.code)
    if end.silent:
        by, cause = "system", "no_answer" if end.alerted else "timeout"
    refused = code in _CHALLENGES and state.current is not None and state.current.kind == "gateway"
    if refused:
        # Whose credentials we lack is no business of the caller, whose phone would ask for a password.
        code, cause = int(SipCode.SERVICE_UNAVAILABLE), "unavailable"
    elif code == SipCode.SERVICE_UNAVAILABLE:
        # It would make the caller's proxy believe that we are out of order: tm sends 500 (RFC 3261 section 16.7).
        code = int(SipCode.SERVER_ERROR)
    elif state.leg and 300 <= code < 400:
        # An agent's phone answers or does not: nobody follows where it points to.
        refused, code = True, int(SipCode.TEMPORARILY_UNAVAILABLE)
    end_call(worker, state, code, by=by, cause=cause, reason=end.reason)
    if refused:
        worker.port.reply(code, reason_phrase(code))


def rang(worker: Worker, state: CallState) -> bool:
    """Tell whether the callee of the current attempt was alerted (101-199 seen; 100 Trying does not count)."""
    return (worker.port.avp("ks_rung") or "").startswith(f"{state.attempt}:")


def _retry_after(worker: Worker) -> int | None:
    """Read Retry-After of the response that ended the attempt (RFC 3261 section 20.33), in seconds."""
    text = (worker.port.read("$T_rpl($hdr(Retry-After))") or "").strip()
    digits = text.split(";")[0].split("(")[0].strip()
    return int(digits) if digits.isdecimal() and len(digits) < 10 else None


def authenticated(worker: Worker, state: CallState, code: int, routes: Routes) -> bool:
    """Answer the challenge of a carrier that knows us by a trunk registration; False if this is none of that."""
    return code in _CHALLENGES and _authenticate(worker, state, routes)


def _authenticate(worker: Worker, state: CallState, routes: Routes) -> bool:
    target = state.current
    gateway = (
        worker.directory.system.gateways.get(target.gateway_id)
        if target and target.gateway_id is not None
        else None
    )
    if gateway is None or gateway.trunk is None or state.authenticated or target is None:
        return False
    trunk = gateway.trunk
    if not worker.port.authenticate_to_gateway(trunk.auth_username, trunk.auth_realm, trunk.auth_ha1):
        return False
    store(worker, state.evolve(authenticated=True))
    # The challenge would count as the better response when the authenticated INVITE is refused.
    worker.port.forget_replies()
    return _send(worker, target, routes)


def _judge_gateway(worker: Worker, state: CallState, penalty: int | None, failed: bool, code: int) -> None:
    """Count real failures of a gateway; the configured number in a row, or its own Retry-After, takes it out."""
    target = state.current
    if target is None or target.gateway_id is None:
        return
    port, routing, key = worker.port, worker.config.routing, f"failures:{target.gateway_id}"
    if penalty is None:
        if not failed:
            port.table_remove("count", key)
            return
        if is_settling(time.time()):
            return  # what waited in our own sockets while we were away is no fault of the gateway
        failures = port.table_increment("count", key)
        penalty = penalty_after_failures(
            failures, limit=routing.gateway_failure_limit, penalty_seconds=routing.gateway_penalty_seconds
        )
        if penalty is None:
            return
        port.table_remove("count", key)
    until = time.time() + penalty
    port.table_set("gw", f"penalty:{target.gateway_id}", f"{until:.0f}")
    worker.journal.event("gateway.penalty", gateway_id=target.gateway_id, seconds=penalty, code=code)


def _journal_attempt(worker: Worker, state: CallState, target: Target) -> None:
    worker.journal.event(
        kind_of("call.attempt", state.leg),
        call=state.call_id,
        tenant=state.tenant_id,
        n=state.attempt,
        gateway_id=target.gateway_id,
        account=target.username,
        uri=target.uri,
    )


def _journal_end(
    worker: Worker, state: CallState, code: int, reason: str, *, failover: bool, failed: bool = False
) -> None:
    """Note the end of an attempt; failed: it was the gateway's fault (the dialler judges providers by it)."""
    worker.journal.event(
        kind_of("call.attempt_end", state.leg),
        call=state.call_id,
        tenant=state.tenant_id,
        n=state.attempt,
        gateway_id=state.current.gateway_id if state.current else None,
        code=code,
        reason=reason,
        failover=failover,
        **({"failed": True} if failed else {}),
    )
