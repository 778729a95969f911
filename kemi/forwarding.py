"""Forwarding: where a call goes that an account does not want, or did not take. Shell around callcore.account_service.

`arrive` is asked before anything rings, `divert` when an attempt has failed. A call that is forwarded to a number goes
by the routes, within the limits and at the cost of the account that forwards; the caller's number is shown, unless a
route substitutes one. Services come from the directory file: an account without any costs one look-up.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from callcore.account_service import (
    MAX_FORWARDS,
    Caller,
    Forward,
    ForwardCondition,
    ForwardKind,
    ForwardPolicy,
    ForwardTo,
    Refuse,
    Ring,
    on_arrival,
    on_failure,
)
from callcore.diversion import Diversion, count_before
from callcore.sip import SipCode
from callcore.value import value
from kemi import acd_events, attempts, queue_calls, ringing, service_calls
from kemi.attempts import AttemptEnd
from kemi.call_state import CallState, Target
from kemi.ks_route.decide import decide
from kemi.ks_route.model import (
    Decision,
    DestinationKind,
    Direction,
    RejectCall,
    RelayToAccount,
    RelayToGateways,
    RelayToUri,
    RouteRequest,
    ToService,
)
from kemi.routing_facts import make_world
from kemi.targets import targets_of
from kemi.worker import Worker

#: Scenario (conf/ivr/voicemail.yaml) that answers for an account whose calls are forwarded to its voice mail.
VOICEMAIL = "voicemail"
_CONTACT = re.compile(r"sips?:([^@;>\s]{1,128})@", re.IGNORECASE)
#: Dialog profile of calls that an account has forwarded to numbers.
PROFILE = "forward"


@value
class Arrived:
    """What became of a decision after the services of the called."""

    decision: Decision
    #: Forwardings, the first one first.
    diversions: tuple[Diversion, ...] = ()
    #: The phones ring no longer than this, since a forwarding waits; None: as usual.
    ring_seconds: int | None = None
    #: Colleagues may take the call while it rings.
    pickup: bool = False


def arrive(
    worker: Worker, decision: Decision, call_id: str, diversions: tuple[Diversion, ...] = ()
) -> Arrived:
    """Follow the services of the called, and of those to whom they forward."""
    while isinstance(decision, RelayToAccount) and not decision.emergency:
        services = worker.directory.services(decision.tenant_id, decision.username)
        if services is None or _replaces(worker):
            break
        outcome = on_arrival(services, Caller(decision.a_sent, decision.hidden))
        if isinstance(outcome, Ring):
            return Arrived(decision, diversions, outcome.seconds, services.pickup_group != "")
        if isinstance(outcome, Refuse):
            reason = f"services of {decision.username}: {outcome.phrase}"
            return Arrived(_refusal(decision, outcome.code, outcome.phrase, reason), diversions)
        decision, diversions = _forwarded(worker, decision, decision.username, outcome, diversions, call_id)
    return Arrived(decision, diversions)


def _replaces(worker: Worker) -> bool:
    """Tell whether the call takes the place of one that its target is in (RFC 3891): then no service applies."""
    return worker.port.header("Replaces") is not None


def tell(worker: Worker, call_id: str, tenant_id: int, diversions: tuple[Diversion, ...], to: str) -> None:
    """Write the forwardings into the call's story. to: where the last one leads."""
    for place, entry in enumerate(diversions):
        following = diversions[place + 1].username if place + 1 < len(diversions) else to
        worker.journal.event(
            "call.forward",
            call=call_id,
            tenant=tenant_id,
            account=entry.username,
            condition=entry.condition.value,
            to=following,
        )


def shorten(targets: tuple[Target, ...], seconds: int | None) -> tuple[Target, ...]:
    """Return targets that ring no longer than a forwarding lets them; None: as they are."""
    if seconds is None:
        return targets
    return tuple(
        replace(target, ring_timeout_ms=min(target.ring_timeout_ms, 1000 * seconds)) for target in targets
    )


def enter(worker: Worker, tenant_id: int, diversions: tuple[Diversion, ...]) -> str | None:
    """Count the call for each account that forwards it to a number; return which limit it breaks, or None.

    The dialog must be followed already. It enters first and is counted then, as with limits.enter.
    """
    for entry in diversions:
        if not entry.paid:
            continue
        key, limit = f"{tenant_id}:{entry.username}", _policy(worker, tenant_id).max_calls
        worker.port.enter(PROFILE, key)
        if worker.port.count(PROFILE, key) > limit:
            worker.port.leave(PROFILE, key)
            return f"limit of {limit} calls forwarded by {entry.username}"
    return None


def divert(worker: Worker, state: CallState, end: AttemptEnd) -> bool:
    """Send a call elsewhere that its target did not take (attempts.Divert)."""
    port, tenant_id = worker.port, state.tenant_id
    outcome = None if tenant_id is None or state.leg or state.emergency else _wish(worker, state, end)
    if outcome is None or tenant_id is None or state.current is None:
        return False
    caller = port.dialog("ks_a") or ""
    rung = RelayToAccount(
        username=state.current.group or state.current.username or "",
        tenant_id=tenant_id,
        a_sent=caller,
        b_sent=port.dialog("ks_b") or "",
        hidden=state.hidden,
    )
    before = tuple(Diversion.decode(text) for text in state.diversions)
    decision, done = _forwarded(worker, rung, rung.username, outcome, before, state.call_id)
    arrived = arrive(worker, decision, state.call_id, done)
    if isinstance(arrived.decision, RejectCall):
        tell(worker, state.call_id, tenant_id, arrived.diversions[len(before) :], arrived.decision.reason)
        return False
    return _go(worker, state, arrived, tenant_id, len(before))


def _wish(worker: Worker, state: CallState, end: AttemptEnd) -> ForwardTo | None:
    """Return where the target that failed wants its calls to go."""
    target, tenant_id = state.current, state.tenant_id or 0
    if target is None or target.username is None:
        return None
    if target.group:
        group = worker.directory.hunt_group(tenant_id, target.group)
        if group is None or group.fallback is None:
            return None
        return ForwardTo(ForwardCondition.NO_ANSWER, group.fallback)
    if 300 <= end.code < 400:
        return _redirected(worker, tenant_id)
    services = worker.directory.services(tenant_id, target.username)
    if services is None or _replaces(worker):
        return None
    return on_failure(services, end.code, silent=end.silent, alerted=end.alerted)


def _redirected(worker: Worker, tenant_id: int) -> ForwardTo | None:
    """Return where a phone itself sends its calls (302): a colleague or a number, at the cost of its account."""
    match = _CONTACT.search(worker.port.read("$T_rpl($hdr(Contact))") or "")
    if match is None:
        return None
    user = unquote(match[1])
    kind = ForwardKind.ACCOUNT if worker.directory.account_exists(tenant_id, user) else ForwardKind.NUMBER
    return ForwardTo(ForwardCondition.ALWAYS, Forward(kind, user))


def _go(worker: Worker, state: CallState, arrived: Arrived, tenant_id: int, told: int) -> bool:
    """Let the call go where a failed attempt sends it; False if it cannot go there."""
    port, decision = worker.port, arrived.decision
    queue = None
    if isinstance(decision, ToService) and decision.kind is DestinationKind.QUEUE:
        queue = worker.directory.queue(tenant_id, decision.name)
    targets = shorten(targets_of(worker, decision), arrived.ring_seconds)
    hosted = service_calls.serves(decision)
    if queue is None and not targets and not hosted:
        return False
    refusal = enter(worker, tenant_id, arrived.diversions[told:])
    new = arrived.diversions[told:]
    tell(worker, state.call_id, tenant_id, new, refusal or _name(decision))
    if refusal is not None:
        return False
    state = state.evolve(
        remaining=targets,
        diversions=tuple(entry.encode() for entry in arrived.diversions),
        pickup=arrived.pickup or ringing.in_pickup_group(worker, tenant_id, targets),
    )
    attempts.next_target(worker, state)
    agent = targets[0].agent_account if targets else None
    acd_events.change_callee(worker, tenant_id, agent, decision.a_sent)
    if any(entry.paid for entry in new):
        limit_duration(worker, decision)
    if queue is not None or hosted:
        attempts.end_media(worker)
        if queue is not None:
            queue_calls.begin(worker, state, queue, decision.a_sent, decision.b_sent)
        else:
            service_calls.begin(worker, state, decision)
        return True
    shows_number = isinstance(decision, RelayToGateways | RelayToUri) and not state.hidden
    if shows_number and decision.a_sent != port.text("$fU"):
        port.replace_from("", f"sip:{decision.a_sent}@{port.text('$fd')}")
    attempts.try_next(worker, state, divert)
    return True


def limit_duration(worker: Worker, decision: Decision) -> None:
    """End the dialog of this call in time, as its options say."""
    seconds = decision.options.max_duration_seconds
    if seconds is not None:
        worker.port.limit_dialog(seconds)
        worker.port.set_dialog("ks_limit", str(seconds))


def _name(decision: Decision) -> str:
    if isinstance(decision, RelayToAccount):
        return decision.username
    return decision.name if isinstance(decision, ToService) else decision.b_sent


# ---------------------------------------------------------------------------------------------- one forwarding


def _forwarded(
    worker: Worker,
    called: Decision,
    username: str,
    outcome: ForwardTo,
    diversions: tuple[Diversion, ...],
    call_id: str,
) -> tuple[Decision, tuple[Diversion, ...]]:
    """Return where an account, or hunt group, sends a call, and the forwardings with this one."""
    forward, tenant_id = outcome.forward, called.tenant_id
    account = worker.directory.account(tenant_id, username)
    number = (account.caller_number or "") if account is not None else ""
    entry = Diversion(username, outcome.condition, number, forward.kind is ForwardKind.NUMBER)
    done = (*diversions, entry)
    earlier = count_before(worker.port.headers("Diversion"), worker.port.headers("History-Info"))
    if any(one.username == username for one in diversions) or earlier + len(done) > MAX_FORWARDS:
        reason = f"forwarded {earlier + len(diversions)} times already, and {username} forwards it again"
        return _refusal(called, SipCode.LOOP_DETECTED, "Too Many Forwardings", reason), done
    told = f"{username} forwards {outcome.condition} to {forward}"
    common: dict[str, Any] = {
        "tenant_id": tenant_id,
        "a_sent": called.a_sent,
        "hidden": called.hidden,
        "b_sent": forward.destination,
        "reason": told,
    }
    if forward.kind is ForwardKind.NUMBER:
        return _to_number(worker, called, username, forward.destination, told, call_id), done
    if forward.kind is ForwardKind.QUEUE:
        return ToService(kind=DestinationKind.QUEUE, name=forward.destination, **common), done
    if forward.kind is ForwardKind.VOICEMAIL:
        common["b_sent"] = username
        return ToService(kind=DestinationKind.IVR, name=VOICEMAIL, **common), done
    if not worker.directory.account_exists(tenant_id, forward.destination):
        return _refusal(called, SipCode.TEMPORARILY_UNAVAILABLE, "", f"{told}, which is gone"), done
    return RelayToAccount(username=forward.destination, **common), done


def _to_number(
    worker: Worker, called: Decision, username: str, number: str, told: str, call_id: str
) -> Decision:
    """Return the way to a number as the account itself would call it, as far as its tenant wants to pay for that."""
    tenant_id, policy = called.tenant_id, _policy(worker, called.tenant_id)
    account = worker.directory.account(tenant_id, username)
    if not policy.to_numbers:
        return _refusal(called, SipCode.FORBIDDEN, "Forwarding Not Allowed", f"{told}: not allowed")
    tenant = worker.directory.system.tenants.get(tenant_id)
    domain = account.domains[0] if account is not None and account.domains else tenant.realm if tenant else ""
    request = RouteRequest(
        tenant_id=tenant_id,
        direction=Direction.ACCOUNT,
        a_number=username,
        a_host=domain,
        b_number=number,
        b_host=domain,
        account=username,
        account_caller_number=account.caller_number if account is not None else None,
        call_id=call_id,
    )
    way = decide(request, worker.directory.routes, make_world(worker))
    if way.emergency:
        return _refusal(called, SipCode.FORBIDDEN, "Forwarding Not Allowed", f"{told}: an emergency number")
    return policed(way, policy, shown=_outside(worker, called), told=told, hidden=called.hidden)


def policed(way: Decision, policy: ForwardPolicy, *, shown: str, told: str, hidden: bool) -> Decision:
    """Return a way without what is too dear, no longer than allowed, showing the caller's number. Pure."""
    substituted = way.options.caller_id is not None or way.options.caller_id_set is not None
    limit = min(way.options.max_duration_seconds or policy.max_seconds, policy.max_seconds)
    changes: dict[str, Any] = {
        "a_sent": way.a_sent if substituted else shown,
        "reason": f"{told}; {way.reason}".removesuffix("; "),
        "hidden": hidden,
        "options": replace(way.options, max_duration_seconds=limit),
    }
    if isinstance(way, RelayToGateways):
        cheap = tuple(target for target in way.targets if policy.allows(target.cost))
        if not cheap:
            return _refusal(
                way, SipCode.FORBIDDEN, "Forwarding Too Expensive", f"{told}: every gateway is too dear"
            )
        return replace(way, targets=cheap, **changes)
    return replace(way, **changes)


def _outside(worker: Worker, called: Decision) -> str:
    """Return the caller's number as other systems know it."""
    account = worker.directory.account(called.tenant_id, called.a_sent)
    return (account.caller_number or called.a_sent) if account is not None else called.a_sent


def _policy(worker: Worker, tenant_id: int) -> ForwardPolicy:
    tenant = worker.directory.system.tenants.get(tenant_id)
    return tenant.forward if tenant is not None else ForwardPolicy()


def _refusal(called: Decision, code: int, phrase: str, reason: str) -> RejectCall:
    return RejectCall(
        code=int(code),
        phrase=phrase,
        hops=called.hops,
        tenant_id=called.tenant_id,
        a_sent=called.a_sent,
        b_sent=called.b_sent,
        options=called.options,
        reason=reason,
    )
