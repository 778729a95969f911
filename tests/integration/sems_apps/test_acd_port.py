"""Queue calls with everything real: sippy, RTPProxy, PostgreSQL with call distribution, phones with RTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from tests.support.acd_field import HOST, Field
from tests.support.fix_pg import temporary_cluster
from tests.support.media_rig import NAME, MediaRig, media_rig
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan

MakePhone = Callable[..., Phone]
assert NAME == HOST


class Office:
    """A queue with agents whose phones are real, and callers."""

    def __init__(self, rig: MediaRig, field: Field, make_phone: MakePhone) -> None:
        self.rig, self.field, self._make_phone = rig, field, make_phone
        self.queue = field.queue("sales", media={"music": "jazz"})
        field.conn.execute(
            "INSERT INTO node (name, kind, host, address) VALUES (%s, 'media', 'here', 'udp:127.0.0.1:5090')",
            [HOST],
        )

    def agent(self, name: str, number: str, *, login: bool = True) -> tuple[int, Phone]:
        """Make an agent with a phone."""
        phone = self._make_phone(name, "kalibri.internal", media=True)
        phone.payload_types = (8, 101)
        self.rig.route[number] = phone.address
        return self.field.agent(name, self.queue, login=login, number=number), phone

    def caller(self, name: str = "alice") -> Phone:
        """Make a caller's phone."""
        phone = self._make_phone(name, "kalibri.internal", proxy=self.rig.host.stack.address, media=True)
        phone.payload_types = (8, 0, 101)
        return phone

    def call(self, phone: Phone, number: str = "+74951112233") -> Call:
        """Call the queue."""
        return self.rig.call(phone, tenant=str(self.field.tenant), queue=str(self.queue), caller=number)

    def wait(self, phone: Phone, question: str, wanted: Any) -> None:
        """Wait until the database says so."""
        seen: list[Any] = []

        def found() -> bool:
            seen[:] = [self.field.value(question)]
            return bool(seen == [wanted])

        try:
            phone.wait(found, 15, f"{question} = {wanted}")
        except AssertionError as error:
            offers = self.field.conn.execute(
                "SELECT offer_id, state, outcome, code, cause FROM offer"
            ).fetchall()
            raise AssertionError(
                f"{question}: {seen}, offers {offers}, story {self.rig.story.kinds()}"
            ) from error

    def entry(self) -> dict[str, Any]:
        """Return the latest entry."""
        return self.field.row("SELECT * FROM queue_entry ORDER BY entry_id DESC LIMIT 1")


ENTRY_STATE = "SELECT (SELECT state::text FROM queue_entry ORDER BY entry_id DESC LIMIT 1)"
FIRST_OUTCOME = "SELECT (SELECT outcome::text FROM offer ORDER BY offer_id LIMIT 1)"


@pytest.fixture
def office(
    tmp_path: Path, pg_config: Config, db: psycopg.Connection, make_phone: MakePhone
) -> Iterator[Office]:
    with media_rig(tmp_path, pg_config) as rig:
        yield Office(rig, Field(db), make_phone)


def music(call: Call, office: Office, name: str = "jazz") -> None:
    wanted = set(office.rig.prompts[name])
    call.phone.wait(lambda: sum(p.payload in wanted for p in call.media.received) >= 20, 15, f"{name} heard")


def test_free_agent_gets_the_call_and_the_database_knows_the_whole_story(office: Office) -> None:
    agent, bob = office.agent("bob", "101")
    alice = office.caller()
    bob.plan = Plan.answer(ring_after=0.05, final_after=0.1)
    call = office.call(alice).wait_answered()
    assert [response.code for response in call.provisional] == [100, 180]
    office.wait(alice, ENTRY_STATE, "talking")
    assert office.field.state(agent) == "busy"
    bob.calls[0].hang_up()
    call.wait_ended()
    office.wait(alice, ENTRY_STATE, "ended")
    assert (office.entry()["end_reason"], office.field.state(agent)) == ("served", "free")
    kinds = [
        kind
        for (kind,) in office.field.conn.execute(
            "SELECT kind FROM acd_event WHERE entry_id IS NOT NULL ORDER BY seq"
        )
    ]
    assert kinds == ["entry.enter", "offer.make", "agent.state", "offer.answer", "offer.join", "agent.state"][
        : len(kinds)
    ] or ("offer.join" in kinds and kinds[-1] in ("entry.end", "agent.state"))


def test_waiting_caller_gets_the_agent_who_becomes_free(office: Office) -> None:
    agent, bob = office.agent("bob", "101", login=False)
    alice = office.caller()
    call = office.call(alice).wait_answered()
    music(call, office)
    office.wait(alice, ENTRY_STATE, "waiting")
    office.field.call("acd_login", agent)
    bob.wait_call().wait_answered()
    office.wait(alice, ENTRY_STATE, "talking")
    call.hang_up()
    bob.calls[0].wait_ended()
    office.wait(alice, ENTRY_STATE, "ended")


def test_agents_who_fail_are_followed_by_the_next_and_get_their_penalty(office: Office) -> None:
    _, bob = office.agent("bob", "101")
    bob.plan = Plan.reject(603)
    alice = office.caller()
    office.field.change(office.queue, strategy="linear")
    _, carol = office.agent("carol", "102")
    call = office.call(alice).wait_answered()
    carol.wait_call().wait_answered()
    office.wait(alice, FIRST_OUTCOME, "rejected")
    office.wait(alice, ENTRY_STATE, "talking")
    call.hang_up()


def test_caller_who_gives_up_frees_the_ringing_agent(office: Office) -> None:
    agent, bob = office.agent("bob", "101")
    bob.plan = Plan.ring()
    alice = office.caller()
    call = office.call(alice)
    bob.wait_call()
    call.cancel()
    bob.calls[0].wait_ended()
    office.wait(alice, ENTRY_STATE, "ended")
    assert office.entry()["end_reason"] == "abandoned"
    assert office.field.value("SELECT outcome::text FROM offer") == "caller_gone"
    assert office.field.state(agent) == "free"


def test_ring_timeout_is_told(office: Office) -> None:
    _agent, bob = office.agent("bob", "101")
    office.field.change(office.queue, ring_seconds=5)
    bob.plan = Plan.ring()
    alice = office.caller()
    call = office.call(alice)
    bob.wait_call().wait_ended(20)
    office.wait(alice, FIRST_OUTCOME, "no_answer")
    call.cancel() if call.state != "answered" else call.hang_up()


def test_ring_all_one_wins_and_the_others_stop(office: Office) -> None:
    office.field.change(office.queue, strategy="ring_all")
    _, bob = office.agent("bob", "101")
    _, carol = office.agent("carol", "102")
    bob.plan = carol.plan = Plan.ring()
    alice = office.caller()
    call = office.call(alice)
    for phone in (bob, carol):
        phone.wait_call().wait_ringing()
    carol.calls[0].answer()
    bob.calls[0].wait_ended()
    office.wait(alice, ENTRY_STATE, "talking")
    call.wait_answered().hang_up()
    carol.calls[0].wait_ended()


def test_two_callers_are_served_in_order_by_one_agent(office: Office) -> None:
    agent, bob = office.agent("bob", "101", login=False)
    bob.plan = Plan.answer(bye_after=0.3)
    first, second = office.caller("first"), office.caller("second")
    calls = []
    for number, phone in enumerate((first, second)):
        calls.append(office.call(phone, f"+7495000000{number}").wait_answered())
        office.wait(phone, "SELECT count(*) FROM queue_entry WHERE state = 'waiting'", number + 1)
    office.field.call("acd_login", agent)
    for call in calls:
        call.wait_ended(20)
    numbers = [call.invite.from_addr.uri.user for call in bob.calls]
    assert numbers == ["+74950000000", "+74950000001"]


def test_moved_caller_hears_the_other_queue(office: Office) -> None:
    other = office.field.queue("support", media={"music": "blues"})
    alice = office.caller()
    call = office.call(alice).wait_answered()
    music(call, office)
    office.field.call("acd_move", office.entry()["entry_id"], other, "boss")
    music(call, office, "blues")
    call.hang_up()


def test_ejected_caller_is_ended(office: Office) -> None:
    alice = office.caller()
    call = office.call(alice).wait_answered()
    music(call, office)
    office.field.call("acd_eject", office.entry()["entry_id"], None, None, "boss")
    call.wait_ended()
    assert call.ended_by == "remote"


def test_callback_keeps_the_place_and_joins_agent_and_caller(office: Office) -> None:
    office.field.change(office.queue, media={"music": "jazz", "callback_key": "1"}, callback_enabled=True)
    agent, bob = office.agent("bob", "101", login=False)
    alice = office.caller()
    office.rig.route["+74951112233"] = alice.address
    call = office.call(alice).wait_answered()
    music(call, office)
    since = office.entry()["since"]
    call.media.press("1")
    call.media.press("1")
    call.wait_ended(20)
    entry = office.entry()
    assert (entry["kind"], entry["since"]) == ("callback", since)
    office.wait(alice, "SELECT count(*) FROM acd_hosts()", 1)
    office.field.call("acd_login", agent)
    bob.wait_call(1, 20).wait_answered(20)
    back = alice.wait_call(2, 20).wait_answered()
    office.wait(alice, ENTRY_STATE, "talking")
    back.hang_up()
    bob.calls[0].wait_ended()
    office.wait(alice, ENTRY_STATE, "ended")
    assert office.entry()["end_reason"] == "served"


def test_supervisor_listens_by_command(office: Office) -> None:
    _, _bob = office.agent("bob", "101")
    alice, boss = office.caller(), office.caller("boss")
    office.rig.route["900"] = boss.address
    call = office.call(alice).wait_answered()
    office.wait(alice, ENTRY_STATE, "talking")
    entry = office.entry()["entry_id"]
    data = psycopg.types.json.Jsonb({"to_kind": "number", "to": "900", "mode": "listen"})
    office.field.call("acd_command", entry, "supervise", data, "boss")
    boss.wait_call().wait_answered()
    office.wait(alice, "SELECT done_at IS NOT NULL FROM host_command WHERE kind = 'supervise'", True)
    call.hang_up()
    boss.calls[0].wait_ended()


def test_database_away_music_goes_on_and_the_entry_is_made_when_it_is_back(
    tmp_path: Path, make_phone: MakePhone
) -> None:
    with temporary_cluster() as server:
        config = Config(home=tmp_path, database=DatabaseConfig(dsn=server.dsn("kalibri")))
        with (
            media_rig(tmp_path, config) as rig,
            psycopg.connect(server.dsn("kalibri"), autocommit=True) as conn,
        ):
            office = Office(rig, Field(conn), make_phone)
            agent, bob = office.agent("bob", "101", login=False)
            server.kill()
            alice = office.caller()
            call = office.call(alice).wait_answered()
            music(call, office)
            assert "acd.enter" in rig.story.kinds()
            server.start_again()
            with psycopg.connect(server.dsn("kalibri"), autocommit=True) as again:
                office.field.conn = again
                office.wait(alice, ENTRY_STATE, "waiting")
                entry = office.entry()
                assert (entry["entered_at"] - entry["since"]).total_seconds() > 0.5
                office.field.call("acd_login", agent)
                bob.wait_call(1, 20).wait_answered()
                office.wait(alice, ENTRY_STATE, "talking")
                call.hang_up()
                office.wait(alice, ENTRY_STATE, "ended")
