"""Cards follow the events of offers: made, opened and looked up once each; sheets belong to calls and agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from callcore.card import CardLookup, PopMoment
from callcore.errors import NotFound
from callcore.form import BadAnswers
from kalibri.db import Conn
from kalibri.outbound_http import NotFetched
from kalibri.services import addressbook, archive, caller, card, event, form, screen_pop
from kalibri.services.card import Card
from tests.support.acd_field import Field
from tests.support.rows import add_campaign

CALLER = "74950001122"
SOURCE = """\
title: Complaint
disposition: result
wrapup: {seconds: 300, end_when_finished: true}
fields:
  - {name: hello, type: script, text: "Good day, {info.name}, this is {agent_name}."}
  - {name: result, type: choice, choices: [sold, refused], required: true}
  - {name: note, type: text}
"""


class Desk:
    """One agent of one queue, and what he sees."""

    def __init__(self, db: Conn) -> None:
        self.db = db
        self.field = Field(db)
        self.tenant = self.field.tenant
        self.field.host()
        self.queue = self.field.queue("sales", wrapup_seconds=20)
        self.agent = self.field.agent("anna", self.queue, number=None, login=False)
        db.execute("UPDATE agent_live SET registered = true")
        self.field.call("acd_login", self.agent)
        self.asked: list[str] = []
        self.seen = 0
        self.answers: dict[str, Any] = {}

    def pop(self, **settings: Any) -> None:
        """Say what opens with calls of the queue."""
        screen_pop.set_pop(self.db, tenant_id=self.tenant, queue="sales", **settings)

    def offer(self, number: str = CALLER, **options: Any) -> int:
        """Have the agent rung for a caller; return the offer."""
        action = self.field.enter(self.queue, number, **options)
        assert action.kind == "offer_agent", action
        assert action.offer_id is not None
        return action.offer_id

    def finish(self, offer: int) -> None:
        """End the conversation."""
        self.field.acts("acd_finish", offer, "caller")

    def fetch(self, url: str, headers: Mapping[str, str], timeout: float) -> dict[str, Any]:
        """Stand for the tenant's system."""
        self.asked.append(url)
        found = self.answers.get(url)
        if found is None:
            raise NotFetched("answered 500")
        return dict(found)

    def go_on(self) -> None:
        """Do what ks-api does when events have come."""
        event.sequence(self.db)
        more = True
        while more:
            made = card.make_cards(self.db, self.seen)
            self.seen, more = made.seen, made.more

    def look_up(self) -> None:
        """Look up who is wanted."""
        for claim in card.claim_lookups(self.db, limit=10):
            found = caller.look_up(
                self.db, tenant_id=claim.tenant_id, values=claim.variables, fetch=self.fetch
            )
            card.looked_up(self.db, tenant_id=claim.tenant_id, offer_id=claim.offer_id, found=found)

    def told(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the events about cards and forms, in order, with whom they reach."""
        event.sequence(self.db)
        rows = self.db.execute(
            "SELECT kind, data, account FROM event_log WHERE kind LIKE 'card.%' OR kind = 'form.save' ORDER BY seq"
        ).fetchall()
        assert {account for _, _, account in rows} <= {"anna"}
        return [(kind, data) for kind, data, _ in rows]

    def card(self) -> Card:
        """Return the agent's newest card."""
        return card.list_cards(self.db, tenant_id=self.tenant, agent_id=self.agent)[0]

    def wrapup_left(self) -> float:
        """Return how long wrap-up still lasts."""
        left = self.field.value(
            "SELECT extract(epoch FROM wrapup_until - clock_timestamp()) FROM agent_live WHERE agent_id = %s",
            self.agent,
        )
        return float(left or 0)


@pytest.fixture
def desk(db: Conn) -> Desk:
    """An agent at his desk, on a fresh database."""
    return Desk(db)


def test_the_address_opens_with_the_offer_and_once(desk: Desk) -> None:
    desk.pop(
        url="https://crm.example/{caller}?q={queue}&to={called}&city={lead.city}&id={crm_id}&n={caller_name}"
    )
    call = uuid4()
    variables = {"called": "78005550100", "lead": {"city": "Тула", "crm_id": "c/9"}, "x": 1}
    offer = desk.offer(call=call, caller_name="Анна & Co", variables=variables)
    desk.go_on()
    desk.go_on()
    (made, opened) = desk.told()
    assert (made[0], opened[0]) == ("card.make", "card.open")
    assert made[1]["variables"]["called"] == "78005550100"
    assert made[1]["variables"]["var"] == {"x": 1}
    assert made[1]["variables"]["call_id"] == str(call)
    assert opened[1]["url"] == (
        "https://crm.example/74950001122?q=sales&to=78005550100&city=%D0%A2%D1%83%D0%BB%D0%B0&id=c%2F9"
        "&n=%D0%90%D0%BD%D0%BD%D0%B0%20%26%20Co"
    )
    seen = desk.card()
    assert (seen.offer_id, seen.url, seen.state, seen.form) == (offer, opened[1]["url"], "ringing", None)


def test_variables_of_the_dialler_are_those_of_the_lead(desk: Desk) -> None:
    desk.pop(
        url="https://crm.example/?id={lead.id}&n={lead.name}&c={lead.city}&v={var.city}&k={crm_id}&g={campaign}"
    )
    given = {
        "city": "Tula",
        "crm_id": 7,
        "lead": 12,
        "lead_name": "Anna",
        "campaign": "spring",
        "dial": {"attempt": 3},
    }
    desk.offer(variables=given)
    desk.go_on()
    assert desk.card().url == "https://crm.example/?id=12&n=Anna&c=Tula&v=Tula&k=7&g=spring"
    assert "dial" not in desk.card().variables["var"]


def test_the_address_may_wait_for_the_answer(desk: Desk) -> None:
    desk.pop(url="https://crm.example/{offer_id}", open_at=PopMoment.ANSWER)
    offer = desk.offer()
    desk.go_on()
    assert [kind for kind, _ in desk.told()] == ["card.make"]
    desk.field.answer(offer)
    desk.go_on()
    assert [kind for kind, _ in desk.told()] == ["card.make", "card.open"]
    assert desk.card().url == f"https://crm.example/{offer}"


def test_nothing_opens_for_a_call_that_the_agent_did_not_take(desk: Desk) -> None:
    desk.pop(url="https://crm.example/", open_at=PopMoment.ANSWER)
    offer = desk.offer()
    desk.field.outcome(offer, "rejected", 486)
    desk.go_on()
    assert [kind for kind, _ in desk.told()] == ["card.make"]
    assert card.list_cards(desk.db, tenant_id=desk.tenant, agent_id=desk.agent) == []


def test_the_nearest_screen_pop_counts_for_address_and_form_apart(desk: Desk) -> None:
    for name in ("a", "b"):
        form.add(desk.db, tenant_id=desk.tenant, name=name, source=SOURCE)
    screen_pop.set_pop(desk.db, tenant_id=desk.tenant, url="https://tenant.example/", form="a")
    desk.pop(url="https://queue.example/")
    add_campaign(desk.db, desk.tenant, "spring")
    screen_pop.set_pop(desk.db, tenant_id=desk.tenant, campaign="spring", form="b")
    first = desk.offer()
    desk.go_on()
    found = desk.card()
    assert (found.url, found.form and found.form.name) == ("https://queue.example/", "a")
    desk.field.answer(first)
    desk.finish(first)
    desk.field.call("acd_wrapup", desk.agent, 0)
    screen_pop.set_pop(desk.db, tenant_id=desk.tenant, agent="anna", url="https://anna.example/")
    desk.offer(variables={"campaign": "spring"})
    desk.go_on()
    found = desk.card()
    assert (found.url, found.form and found.form.name) == ("https://anna.example/", "b")


def test_without_anything_to_show_no_card_is_made(desk: Desk) -> None:
    desk.offer()
    desk.go_on()
    add_campaign(desk.db, desk.tenant, "other")
    screen_pop.set_pop(desk.db, tenant_id=desk.tenant, campaign="other", url="https://x.example/")
    desk.go_on()
    assert desk.told() == []


def test_who_calls_is_looked_up_and_remembered(desk: Desk) -> None:
    desk.pop(url="https://crm.example/{crm_id}")
    caller.set_lookup(desk.db, tenant_id=desk.tenant, url="https://crm.example/who?n={caller}")
    desk.answers["https://crm.example/who?n=74950001122"] = {"crm_id": "A/1", "name": "Anna"}
    first = desk.offer()
    desk.go_on()
    assert [kind for kind, _ in desk.told()] == ["card.make"], "the address needs what is being looked up"
    assert desk.card().lookup is CardLookup.WANTED
    desk.look_up()
    assert [kind for kind, _ in desk.told()] == ["card.make", "card.info", "card.open"]
    assert (desk.card().info, desk.card().url) == (
        {"crm_id": "A/1", "name": "Anna"},
        "https://crm.example/A%2F1",
    )
    desk.field.answer(first)
    desk.finish(first)
    desk.field.call("acd_wrapup", desk.agent, 0)
    desk.offer()
    desk.go_on()
    desk.look_up()
    assert desk.card().url == "https://crm.example/A%2F1"
    assert len(desk.asked) == 1, "the answer still holds"


def test_a_look_up_that_fails_hinders_nothing(desk: Desk) -> None:
    desk.pop(url="https://crm.example/?id={crm_id}&n={caller}")
    caller.set_lookup(desk.db, tenant_id=desk.tenant, url="https://crm.example/who?n={caller}")
    desk.offer()
    desk.go_on()
    desk.look_up()
    (_, info, opened) = desk.told()
    assert info[1]["lookup"] == "failed"
    assert info[1]["error"] == "answered 500"
    assert opened[1]["url"] == "https://crm.example/?id=&n=74950001122"


def test_a_look_up_that_nobody_came_back_from_is_taken_up_again(desk: Desk) -> None:
    caller.set_lookup(desk.db, tenant_id=desk.tenant, url="https://crm.example/who?n={caller}")
    desk.offer()
    desk.go_on()
    [claim] = card.claim_lookups(desk.db, limit=10)  # and then it was killed
    assert not claim.late
    assert card.claim_lookups(desk.db, limit=10) == []
    desk.db.execute("UPDATE agent_card SET lookup_until = now(), made_at = made_at - interval '1 minute'")
    [again] = card.claim_lookups(desk.db, limit=10)
    assert (again.offer_id, again.late) == (claim.offer_id, True)


def test_a_withheld_number_is_not_looked_up(desk: Desk) -> None:
    caller.set_lookup(desk.db, tenant_id=desk.tenant, url="https://crm.example/who?n={caller}")
    desk.offer("")
    desk.go_on()
    desk.look_up()
    assert desk.asked == []
    assert desk.card().lookup is CardLookup.NONE


def test_earlier_calls_are_shown_with_the_last_agent(desk: Desk) -> None:
    form.add(desk.db, tenant_id=desk.tenant, name="complaint", source=SOURCE)
    desk.pop(form="complaint")
    first = desk.offer()
    desk.go_on()
    desk.field.answer(first)
    desk.finish(first)
    form.save_sheet(desk.db, tenant_id=desk.tenant, offer_id=first, answers={"result": "sold"}, finished=True)
    desk.offer("+" + CALLER)
    desk.go_on()
    history = desk.card().history
    [earlier] = history["calls"]
    assert (history["last_agent"], earlier["queue"], earlier["end"]) == ("anna", "sales", "served")
    assert earlier["disposition"] == "sold"
    addressbook.add(desk.db, tenant_id=desk.tenant, name="Anna's mother", number=CALLER)
    known = caller.info(desk.db, tenant_id=desk.tenant, number=CALLER, fetch=None)
    assert (known.name, known.last_agent, len(known.calls)) == ("Anna's mother", "anna", 2)
    assert caller.info(desk.db, tenant_id=desk.tenant, number="100", fetch=None).calls == []


def test_a_sheet_is_saved_finished_and_ends_wrap_up(desk: Desk) -> None:
    form.add(desk.db, tenant_id=desk.tenant, name="complaint", source=SOURCE)
    desk.pop(form="complaint")
    offer = desk.offer()
    desk.go_on()
    shown = desk.card().form
    assert shown is not None
    assert shown.fields[0].text == "Good day, , this is anna."
    key = {"tenant_id": desk.tenant, "offer_id": offer, "agent_id": desk.agent}
    form.save_sheet(desk.db, **key, answers={"note": "x"})
    desk.field.answer(offer)
    form.change(
        desk.db,
        tenant_id=desk.tenant,
        name="complaint",
        source=SOURCE + "  - {name: new, type: text, required: true}\n",
    )
    desk.finish(offer)
    assert 0 < desk.wrapup_left() <= 20
    desk.go_on()
    assert 200 < desk.wrapup_left() <= 300, "a form that is not finished makes wrap-up longer"
    with pytest.raises(BadAnswers, match="result"):
        form.save_sheet(desk.db, **key, answers={"note": "x"}, finished=True)
    with pytest.raises(NotFound):
        form.save_sheet(desk.db, **{**key, "agent_id": desk.agent + 1}, answers={"result": "sold"})
    sheet = form.save_sheet(desk.db, **key, answers={"result": "sold", "note": "y"}, finished=True)
    assert (sheet.version, sheet.agent, sheet.caller, sheet.disposition) == (1, "anna", CALLER, "sold")
    assert sheet.finished_at is not None
    assert sheet.after_call_seconds is not None
    assert desk.field.state(desk.agent) == "free", "finishing it ends wrap-up"
    with pytest.raises(form.Finished):
        form.save_sheet(desk.db, **key, answers={"result": "refused"})
    again = form.save_sheet(desk.db, **key, answers={"result": "refused"}, finished=True)
    assert (again.sheet_id, again.disposition, again.finished_at) == (
        sheet.sheet_id,
        "refused",
        sheet.finished_at,
    )
    saved = [data for kind, data in desk.told() if kind == "form.save"]
    assert [(one["disposition"], one["finished"]) for one in saved] == [
        (None, False),
        ("sold", True),
        ("refused", True),
    ]
    assert [
        one.disposition for one in form.list_sheets(desk.db, tenant_id=desk.tenant, form="complaint")
    ] == ["refused"]


def test_a_form_finished_during_the_call_ends_wrap_up_when_it_begins(desk: Desk) -> None:
    form.add(desk.db, tenant_id=desk.tenant, name="complaint", source=SOURCE)
    desk.pop(form="complaint")
    offer = desk.offer()
    desk.field.answer(offer)
    desk.go_on()
    form.save_sheet(desk.db, tenant_id=desk.tenant, offer_id=offer, answers={"result": "sold"}, finished=True)
    desk.finish(offer)
    assert desk.field.state(desk.agent) == "wrapup"
    desk.go_on()
    assert desk.field.state(desk.agent) == "free"


def test_one_bad_card_does_not_keep_the_others(desk: Desk) -> None:
    desk.pop(url="https://crm.example/")
    desk.db.execute("ALTER TABLE screen_pop DROP CONSTRAINT screen_pop_url_check")
    desk.db.execute("UPDATE screen_pop SET url = 'https://{caller}/'")  # nothing of ours writes that
    first = desk.offer()
    desk.go_on()
    assert desk.told() == []
    desk.field.acts("acd_end", desk.field.offer(first)["entry_id"], "abandoned")
    desk.db.execute("UPDATE screen_pop SET url = 'https://crm.example/'")
    desk.offer("74950000000")
    desk.go_on()
    assert [kind for kind, _ in desk.told()] == ["card.make", "card.open"]


def test_old_cards_go_and_sheets_stay(desk: Desk) -> None:
    form.add(desk.db, tenant_id=desk.tenant, name="complaint", source=SOURCE)
    desk.pop(form="complaint")
    offer = desk.offer()
    desk.go_on()
    form.save_sheet(desk.db, tenant_id=desk.tenant, offer_id=offer, answers={"note": "x"})
    assert card.forget_old(desk.db) == 0
    desk.db.execute("UPDATE agent_card SET made_at = made_at - interval '31 days'")
    assert card.forget_old(desk.db) == 1
    assert len(form.list_sheets(desk.db, tenant_id=desk.tenant)) == 1
    desk.db.execute("UPDATE form_sheet SET saved_at = saved_at - interval '50 days'")
    assert form.forget_sheets(desk.db, default_days=60) == 0
    archive.set_retention(desk.db, tenant_id=desk.tenant, keep_calls_days=40)
    assert form.forget_sheets(desk.db, default_days=60) == 1
