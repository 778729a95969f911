"""Calls to a scenario, an announcement, a park slot or a mailbox: brought to a media host, else to the next. Shell.

The host reads the scenario itself; a name that does not exist is its 404.
"""

from __future__ import annotations

from callcore.sip import SipCode
from kemi import attempts, hosted_media, media_hosts
from kemi.attempts import Routes
from kemi.call_state import CallState
from kemi.hosted_call import ToHost
from kemi.ks_acd import media_host
from kemi.ks_acd.model import MediaHost
from kemi.ks_route.model import Decision, DestinationKind, ToService
from kemi.presentation import ANONYMOUS_NAME
from kemi.worker import Worker

#: The same callbacks as those of queue calls: a call that is in no queue comes back here.
HOST = Routes("ksr_branch_queue", "ksr_onreply_manage", "ksr_failure_queue")
APPLICATION = "ivr_menu"
#: What a media host is told in place of a hidden number; it takes it for none.
ANONYMOUS = "anonymous"
#: Kind of destination → what names it in X-KS-Arg.
ARGUMENTS = {DestinationKind.IVR: "scenario", DestinationKind.ANNOUNCEMENT: "prompt"}
#: Our own limits and refusals of a host that has not taken the call: the next one may take it.
HOST_FAILURES = range(500, 600)


def serves(decision: Decision | None) -> bool:
    """Tell whether a media host runs what was decided, a queue excepted."""
    if isinstance(decision, ToHost):
        return True
    return isinstance(decision, ToService) and decision.kind in ARGUMENTS


def begin(worker: Worker, state: CallState, decision: Decision, then: str = "") -> None:
    """Bring a call, whose dialog is open already, to a media host.

    then: kind:value, where the caller goes after an announcement; "": the call ends.
    """
    assert isinstance(decision, ToService | ToHost)
    is_scenario = isinstance(decision, ToService)
    # The scenario answers for the called: its messages, letters and transfers show who hides his number to nobody.
    hidden = is_scenario and (decision.hidden or state.hidden)
    name = (ANONYMOUS_NAME if hidden else worker.port.text("$fn")).strip('"')
    application = decision.application if isinstance(decision, ToHost) else APPLICATION
    arg = {
        "tenant": decision.tenant_id,
        **(decision.arg if isinstance(decision, ToHost) else {ARGUMENTS[decision.kind]: decision.name}),
        "caller": ANONYMOUS if hidden else decision.a_sent,
        "called": decision.b_sent,
        "caller_name": name or None,
        "then": then or None,
    }
    if isinstance(decision, ToHost) and decision.host is not None:
        hosts: tuple[MediaHost, ...] = (decision.host,)
    else:
        hosts = media_hosts.choose(worker, (), seed=state.call_id)
    state = state.evolve(
        queue=None,
        remaining=media_hosts.targets(hosts, application),
        host_headers=media_host.application_headers(state.call_id, application, arg),
        media_relay="never",
    )
    hosted_media.mark(worker)
    _try(worker, state)


def _try(worker: Worker, state: CallState) -> None:
    """Try the hosts that are left; answer the call when there is none."""
    exhausted = attempts.try_targets(worker, state, HOST)
    if exhausted is None:
        return
    if worker.port.is_cancelled():
        attempts.cancelled(worker, exhausted)
        return
    code = int(SipCode.SERVICE_UNAVAILABLE)
    attempts.end_call(worker, exhausted, code, by="system", reason="no media host answers")
    worker.port.reply(code, "No Media Host")


def failure(worker: Worker, state: CallState, code: int) -> None:
    """A media host did not take the call, or the scenario refused it."""
    if worker.port.is_cancelled():
        attempts.cancelled(worker, state)
        return
    end = attempts.judge(worker, state, code)
    if end.alerted or not (end.silent or code in HOST_FAILURES):
        attempts.conclude(worker, state, end)
        return
    assert state.current is not None
    if end.silent:
        media_hosts.rest(worker, state.current)
    attempts.next_target(worker, state)
    _try(worker, state)
