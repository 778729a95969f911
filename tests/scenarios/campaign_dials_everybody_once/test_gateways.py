"""Providers of a campaign: one that fails is left alone while the others go on; one that is full holds the campaign."""

from __future__ import annotations

import itertools
from typing import Any

from callcore.dial import CampaignState, DialReason
from tests.scenarios.campaign_dials_everybody_once.conftest import outcomes
from tests.support.call_centre import CallCentre
from tests.support.dial_field import DialField
from tests.support.dialled_people import People
from tests.support.fix_carriers import Carriers
from tests.support.sip_call import CallState
from tests.support.sip_message import SipRequest
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

PATIENCE = 180.0


def one_try(field: DialField) -> str:
    """Return a table of rules: every outcome of a person ends the lead, what failed on our side is tried again."""
    for position, outcome, action in ((1, "untaken", "retry"), (2, "ours", "retry"), (3, "", "stop")):
        field.conn.execute(
            "INSERT INTO retry_rule (tenant_id, table_name, position, outcome, action, delay_seconds, charged)"
            " VALUES (%s, 'one-try', %s, %s, %s, 1, %s) ON CONFLICT DO NOTHING",
            [field.tenant, position, outcome, action, action == "stop"],
        )
    return "one-try"


def finished(switch: Switch, field: DialField, campaign: int) -> None:
    state = "SELECT state::text FROM campaign WHERE campaign_id = %s"
    switch.wait(
        lambda: field.value(state, campaign) == CampaignState.FINISHED, PATIENCE, "every lead is done"
    )


def holds(field: DialField, campaign: int) -> list[dict[str, Any]]:
    return field.rows("SELECT reason::text, detail FROM campaign_hold WHERE campaign_id = %s", campaign)


def test_a_gateway_that_fails_rests_and_the_other_one_goes_on(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    """Never several failures in a row, or the proxy would take it out for everybody by itself."""
    busy = Plan.reject(486)
    shaky, steady = carriers.add("shaky", price="0.10"), carriers.add("steady", price="9.00")
    turns = itertools.cycle([Plan.reject(503), busy])
    shaky.choose = lambda invite: next(turns)
    steady.choose = lambda invite: busy
    group = live_switch.insert("gateway_group", tenant_id=0, name="both")["group_id"]
    for name in ("shaky", "steady"):
        live_switch.insert("gateway_group_member", group_id=group, gateway_id=carriers.ids[name])
    live_switch.add_route("^7876", "group:both", priority=7000.0)
    live_switch.save()
    numbers = [f"7876{serial:07}" for serial in range(100)]
    sale = field.campaign("two-ways", leads=numbers, calls_per_second=10, retry_table=one_try(field))
    live_switch.wait(
        lambda: any("shaky" in hold["detail"] for hold in holds(field, sale)), PATIENCE, "shaky rests"
    )
    finished(live_switch, field, sale)
    assert set(outcomes(field, sale).values()) == {"busy"}, "every lead was called, by one or the other"
    assert len(shaky.calls) < len(numbers), "it was left alone"
    last_tried = {call.invite.uri for call in shaky.calls}
    assert numbers[-1] not in "".join(last_tried)
    assert len(steady.calls) > len(numbers) // 4
    assert not [hold for hold in holds(field, sale) if hold["reason"] == DialReason.GATEWAY_FAILURES], (
        "the campaign went on"
    )
    field.check()


def test_no_more_calls_than_the_lines_of_a_gateway(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers, media=False)
    gateway = next(name for name in carriers.ids)
    live_switch.rows(
        "UPDATE gateway SET max_calls = 2 WHERE gateway_id = %s RETURNING name", [carriers.ids[gateway]]
    )
    live_switch.save()
    most = 0

    def answer(invite: SipRequest) -> Plan:
        nonlocal most
        up = [call for call in list(people.carrier.calls) if call.state is not CallState.ENDED]
        most = max(most, len(up))
        return Plan.answer(bye_after=0.7)

    people.carrier.choose = answer
    numbers = [people.number(serial) for serial in range(8)]
    sale = field.campaign(f"lines-{people.prefix}", leads=numbers, lines=10, retry_table=one_try(field))
    live_switch.wait(
        lambda: any(hold["reason"] == DialReason.GATEWAY_LIMIT for hold in holds(field, sale)),
        PATIENCE,
        "the engine knows that the gateway is full",
    )
    finished(live_switch, field, sale)
    assert most <= 2
    assert gateway in next(h["detail"] for h in holds(field, sale) if h["reason"] == DialReason.GATEWAY_LIMIT)
    for number in numbers:
        assert len(people.calls_of(number)) == 1
    assert {lead["attempts"] for lead in field.leads(sale)} == {1}, "a full gateway is no fault of the person"
    field.check()
