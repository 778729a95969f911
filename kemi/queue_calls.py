"""Queue calls: asks the ACD, rings an agent directly or brings the caller to a media host. Shell around ks_acd.

A caller is never dropped because an agent, a media host or the database fails: an agent who does not take the call is
an outcome, after which the ACD names the next one; a media host that does not answer is followed by the next one; while
the database is away the call goes to a media host unasked, which makes the entry when it is back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from callcore.cdr import cause_of
from callcore.errors import KalibriError
from callcore.sip import SipCode, reason_phrase
from kemi import acd_events, attempts, hosted_media, media_hosts, peers, service_calls
from kemi.accounts import aor
from kemi.attempts import Routes
from kemi.call_state import CallState, Target
from kemi.ks_acd import media_host
from kemi.ks_acd.model import QueueCall, QueueRecord, Stage
from kemi.ks_acd.outcomes import Outcome, RingingEnd, outcome_of
from kemi.ks_acd.steps import Leave, Nothing, RingAgent, Step, ToHost, step_of
from kemi.ks_route.model import Decision, DestinationKind, RedirectCall, RejectCall, ToService
from kemi.queue_exit import destination, number_decision
from kemi.targets import targets_of
from kemi.tenancy import tenant_by_id
from kemi.worker import Worker

QUEUE = Routes("ksr_branch_queue", "ksr_onreply_manage", "ksr_failure_queue")
#: An agent's phone that gives no reply at all for this long is unreachable: four datagrams were lost by then.
AGENT_NO_REPLY_MS = 4_000
#: After the ACD made a call wait, calls of the same queue go to a media host unasked for this time.
JAM_SECONDS = 1.0
#: Word of the recording's `by` (callcore.recording.RecordingReason).
RECORDED_BY = "queue"
#: Agents tried at once without a reply between (not registered ...), before the caller goes to music all the same.
_MOST_STEPS = 20
#: Our own limits and refusals of a host that has not taken the call: the next one may take it.
_HOST_FAILURES = range(500, 600)


def begin(worker: Worker, state: CallState, record: QueueRecord, caller: str, called: str) -> None:
    """Serve a caller of a queue; his dialog is open already. called: the number that he dialled."""
    call = QueueCall(record.tenant_id, record.queue_id, record.name, caller, called=called)
    state = state.evolve(queue=call)
    perform(worker, state, _enter(worker, state, call, record))


def _enter(worker: Worker, state: CallState, call: QueueCall, record: QueueRecord) -> Step:
    """Ask the ACD for an agent, unless it is known that there is none, or that a media host must carry the call."""
    if record.anchored or state.leg or _is_jammed(worker, call):
        return ToHost(0)
    name = worker.port.text("$fn").strip('"')
    options: dict[str, object] = {
        "proxy": acd_events.proxy_name(worker),
        "variables": {"called": call.called},
    }
    if name:
        options["caller_name"] = name
    step = _asked(
        worker,
        state,
        "enter",
        tenant=call.tenant_id,
        queue=call.queue_id,
        call=state.call_id,
        holder=acd_events.proxy_name(worker),
        anchored=False,
        caller=call.caller,
        options=options,
    )
    if isinstance(step, ToHost) and step.entry_id:
        worker.port.table_set("acd", f"jam:{call.queue_id}", f"{time.time() + JAM_SECONDS:.3f}")
    return step


def _is_jammed(worker: Worker, call: QueueCall) -> bool:
    return float(worker.port.table_text("acd", f"jam:{call.queue_id}") or 0) > time.time()


def _asked(worker: Worker, state: CallState, statement: str, **params: object) -> Step:
    """Ask the ACD what to do; when it cannot say, the caller goes to a media host."""
    try:
        step = step_of(worker.acd.ask(statement, **params))
    except KalibriError as error:
        worker.journal.event(
            "acd.away", call=state.call_id, tenant=state.tenant_id, asked=statement, error=error.message[:200]
        )
        return ToHost(0)
    return ToHost(0) if isinstance(step, Nothing) else step


# ------------------------------------------------------------------------------------------------ steps


def perform(worker: Worker, state: CallState, step: Step) -> None:
    """Do a step, and those that follow from it at once."""
    following: Step | None = step
    for _ in range(_MOST_STEPS):
        if following is None:
            return
        state, following = _PERFORM[type(following)](worker, state, following)
    state, following = _to_host(worker, state, ToHost(0))
    if following is not None:
        _refuse(worker, state, int(SipCode.SERVICE_UNAVAILABLE), "No Media Host", "no media host answers")


def _ring_agent(worker: Worker, state: CallState, step: RingAgent) -> tuple[CallState, Step | None]:
    """Ring an agent directly; the next step if he cannot be rung at all."""
    call = _queue(state)
    targets = _agent_targets(worker, state, call, step)
    account_id = next((target.agent_account or 0 for target in targets), 0)
    call = call.ringing(step.entry_id, step.offer_id, account_id)
    relay = "always" if _is_recorded(worker, call) else state.media_relay  # only what is relayed can be
    state = state.evolve(queue=call, remaining=targets, media_relay=relay)
    acd_events.begin_offer(worker, call.tenant_id, step.offer_id, account_id, call.caller)
    exhausted = attempts.try_targets(worker, state, QUEUE)
    if exhausted is None:
        return state, None
    if worker.port.is_cancelled():
        _caller_gone(worker, exhausted)
        return exhausted, None
    attempts.end_media(worker)
    outcome = Outcome.FAILED if attempts.lacks_media(worker) else Outcome.UNREACHABLE
    return exhausted, _outcome(worker, exhausted, outcome, int(SipCode.TEMPORARILY_UNAVAILABLE))


def _is_recorded(worker: Worker, call: QueueCall) -> bool:
    record = worker.directory.queue(call.tenant_id, call.queue_name)
    return record is not None and bool(record.settings.get("record"))


def answered(worker: Worker, state: CallState) -> None:
    """Have the call recorded if its queue wants that, now that an agent took it himself; a media host does it else.

    Not sooner: when no agent answers, a media host takes the caller, and his waiting is not to be recorded.
    """
    call = state.queue
    if call is None or call.stage is not Stage.RINGING or not _is_recorded(worker, call):
        return
    agent = state.current.username if state.current is not None else ""
    worker.rtp.record(state.call_id, by=RECORDED_BY, tenant=call.tenant_id, a=call.caller, b=agent or "")


def _agent_targets(worker: Worker, state: CallState, call: QueueCall, step: RingAgent) -> tuple[Target, ...]:
    """Return how an agent is reached: his registered phones, or the gateways to his number."""
    ring_ms = 1000 * step.ring_seconds
    if step.to_kind == "number":
        decision = number_decision(worker, call, step.to, state.call_id)
        found = (
            ()
            if isinstance(decision, RejectCall | RedirectCall | ToService)
            else targets_of(worker, decision)
        )
        return tuple(replace(target, ring_timeout_ms=ring_ms) for target in found)
    account = worker.directory.account(call.tenant_id, step.to)
    tenant = tenant_by_id(worker.directory.system, call.tenant_id)
    if account is None or tenant is None:
        return ()
    target = Target(
        "account",
        aor(account.username, tenant.realm),
        username=account.username,
        ring_timeout_ms=ring_ms,
        no_reply_timeout_ms=min(AGENT_NO_REPLY_MS, ring_ms),
        media_relay=account.media_relay,
        agent_account=account.account_id,
        peers=" ".join(peers.next_hops(worker)),
    )
    return (target, *peers.targets(worker, target))


def _to_host(worker: Worker, state: CallState, step: ToHost) -> tuple[CallState, Step | None]:
    """Bring the caller to a media host; the next step if none takes him."""
    call = _queue(state).hosted(step.entry_id)
    record = worker.directory.queue(call.tenant_id, call.queue_name)
    settings = record.settings if record is not None else {}
    hosts = media_hosts.choose(worker, step.hosts, seed=state.call_id)
    state = state.evolve(
        queue=call,
        remaining=media_hosts.targets(hosts, "hold_queue"),
        host_headers=media_host.queue_headers(state.call_id, call, settings),
        media_relay="never",
    )
    acd_events.forget(worker)
    hosted_media.mark(worker)
    exhausted = attempts.try_targets(worker, state, QUEUE)
    if exhausted is None:
        return state, None
    if worker.port.is_cancelled():
        _caller_gone(worker, exhausted)
        return exhausted, None
    return exhausted, _no_host(worker, exhausted)


def _no_host(worker: Worker, state: CallState) -> Step:
    """No media host took the caller: his entry ends, and may lead elsewhere."""
    refusal = Leave("failed", None, "", "", int(SipCode.SERVICE_UNAVAILABLE), "No Media Host")
    call = _queue(state)
    if not call.entry_id:
        return refusal
    try:
        step = step_of(worker.acd.ask("end", tenant=call.tenant_id, entry=call.entry_id, reason="failed"))
    except KalibriError:
        return refusal
    return step if isinstance(step, Leave) and step.to_kind else refusal


def _leave(worker: Worker, state: CallState, step: Leave) -> tuple[CallState, Step | None]:
    """The caller leaves the queue: to another destination, or with a response."""
    call = _queue(state)
    acd_events.forget(worker)
    worker.journal.event(
        "call.queue_exit",
        call=state.call_id,
        tenant=state.tenant_id,
        queue=call.queue_name,
        reason=step.reason,
        to=f"{step.to_kind}:{step.to}" if step.to_kind else None,
    )
    if step.announcement and media_hosts.choose(worker, (), seed=state.call_id):
        _announce(worker, state, call, step)
        return state, None
    decision = destination(worker, call, step, state.call_id) if step.to_kind else None
    targets = _ordinary_targets(worker, decision)
    if decision is not None and service_calls.serves(decision):
        service_calls.begin(worker, state, decision)
    elif targets:
        attempts.try_next(worker, state.evolve(queue=None, host_headers=(), remaining=targets))
    elif isinstance(decision, RedirectCall):
        for contact in decision.contacts:
            worker.port.append_reply_header(f"Contact: <{contact}>")
        _refuse(worker, state, int(SipCode.MOVED_TEMPORARILY), "Moved Temporarily", step.reason)
    elif isinstance(decision, RejectCall):
        _refuse(worker, state, decision.code, decision.phrase or reason_phrase(decision.code), step.reason)
    else:
        _refuse(worker, state, step.code, step.phrase, f"queue {call.queue_name}: {step.reason}")
    return state, None


def _announce(worker: Worker, state: CallState, call: QueueCall, step: Leave) -> None:
    """Have a media host say why, and send the caller on."""
    said = ToService(
        kind=DestinationKind.ANNOUNCEMENT,
        name=step.announcement,
        tenant_id=call.tenant_id,
        a_sent=call.caller,
        b_sent=call.called,
    )
    service_calls.begin(worker, state, said, f"{step.to_kind}:{step.to}" if step.to_kind else "")


def _ordinary_targets(worker: Worker, decision: Decision | None) -> tuple[Target, ...]:
    if decision is None or isinstance(decision, RejectCall | RedirectCall | ToService):
        return ()
    return targets_of(worker, decision)


def _refuse(worker: Worker, state: CallState, code: int, phrase: str, reason: str) -> None:
    cause = "redirected" if 300 <= code < 400 else cause_of(code)
    attempts.end_call(worker, state, code, by="system", cause=cause, reason=reason)
    worker.port.reply(code, phrase)


def _queue(state: CallState) -> QueueCall:
    assert state.queue is not None
    return state.queue


_PERFORM: Mapping[type, Callable[..., tuple[CallState, Step | None]]] = {
    RingAgent: _ring_agent,
    ToHost: _to_host,
    Leave: _leave,
}


# ----------------------------------------------------------------------------------- what Kamailio reports


def branch(worker: Worker) -> None:
    """Prepare one branch: the media relay towards an agent, our headers towards a media host."""
    port = worker.port
    state = attempts.load(worker)
    if state is None or state.current is None or state.current.kind != "host":
        attempts.branch(worker)
        return
    hosted_media.mark_host(worker, state.current.uri.partition("@")[2])
    for line in state.host_headers:
        port.append_header(line)
    for name in ("Supported", "Require"):
        given = port.headers(name)
        known = media_host.known_options(given)
        if given and known != given:
            port.replace_header(name, known)
    for name in media_host.TIMER_HEADERS:
        if port.header(name) is not None:
            port.replace_header(name, "")
    if state.caller_nat and port.has_body():
        port.show_source_in_sdp()


def failure(worker: Worker) -> None:
    """The last branch failed: the outcome of an offer, or a media host that did not take the call."""
    port = worker.port
    state = attempts.load(worker)
    if state is None or state.current is None:
        return
    worker.refresh_directory()
    code = port.number("$T_reply_code")
    if state.queue is None:
        service_calls.failure(worker, state, code)
    elif port.is_cancelled():
        _caller_gone(worker, state)
    elif state.queue.stage is Stage.RINGING:
        _agent_failed(worker, state, code)
    else:
        _host_failed(worker, state, code)


def _agent_failed(worker: Worker, state: CallState, code: int) -> None:
    """The agent did not answer: the next gateway to his number, else the ACD says what comes next."""
    if attempts.authenticated(worker, state, code, QUEUE):
        return
    end = attempts.judge(worker, state, code)
    attempts.end_media(worker)
    attempts.next_target(worker, state)
    if end.failover and attempts.try_targets(worker, state, QUEUE) is None:
        return
    outcome = outcome_of(RingingEnd(code, silent=end.silent, alerted=end.alerted))
    perform(worker, state, _outcome(worker, state, outcome, code))


def _outcome(worker: Worker, state: CallState, outcome: Outcome, code: int) -> Step:
    call = _queue(state)
    return _asked(
        worker,
        state,
        "outcome",
        tenant=call.tenant_id,
        offer=call.offer_id,
        outcome=outcome.value,
        code=code or None,
        cause="",
    )


def _host_failed(worker: Worker, state: CallState, code: int) -> None:
    """A media host did not take the call, or ended it before the answer."""
    assert state.current is not None
    end = attempts.judge(worker, state, code)
    if end.alerted or not (end.silent or code in _HOST_FAILURES):
        attempts.conclude(worker, state, end)
        return
    if end.silent:
        media_hosts.rest(worker, state.current)
    attempts.next_target(worker, state)
    exhausted = attempts.try_targets(worker, state, QUEUE)
    if exhausted is None:
        return
    if worker.port.is_cancelled():
        _caller_gone(worker, exhausted)
    else:
        perform(worker, exhausted, _no_host(worker, exhausted))


def _caller_gone(worker: Worker, state: CallState) -> None:
    """The caller gave up. A media host that has him tells the ACD itself."""
    call = _queue(state)
    attempts.cancelled(worker, state)
    if call.entry_id and not (call.stage is Stage.HOSTED and attempts.rang(worker, state)):
        worker.later.append(lambda: _abandon(worker, call))


def _abandon(worker: Worker, call: QueueCall) -> None:
    try:
        worker.acd.tell("end", tenant=call.tenant_id, entry=call.entry_id, reason="abandoned")
    except KalibriError as error:
        worker.port.log_error(f"entry {call.entry_id} not ended: {error}")
