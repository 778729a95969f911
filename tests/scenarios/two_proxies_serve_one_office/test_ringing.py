"""Who is called by a hunt group, or has several phones, rings at both proxies; one answers and the others stop."""

from __future__ import annotations

from tests.scenarios.two_proxies_serve_one_office.conftest import Office, table
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat, Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

FRAMES = 25
QUICK = Plan.answer(ring_after=0.05, final_after=0.3)


def talk(one: Call, two: Call) -> None:
    """Speak in both directions; every frame arrives unchanged."""
    for seed, (speaker, listener) in enumerate([(one, two), (two, one)]):
        sent = known_payload(FRAMES / 50, seed)
        speaker.media.play(sent)
        listener.media.wait_received(FRAMES)
        compare(sent, listener.media.received).assert_exact(FRAMES)


def assert_taken_elsewhere(phone: Phone) -> None:
    """The phone rang, and knows that the call was taken: so it shows no missed call (RFC 3326)."""
    lost = phone.wait_call().wait_ended()
    assert lost.cancelled
    assert "cause=200" in phone.wait_request("CANCEL").need("Reason")
    assert len(phone.calls) == 1
    assert phone.merged == []


def cdr_of_one_call(switch: Switch, call: Call) -> dict[str, object]:
    """Return the one CDR that a call has, whichever proxies it went through."""
    row = switch.cdr(call.call_id)
    assert len(switch.call_rows(call.call_id)) == 1
    return row


def test_a_parallel_group_rings_at_both_proxies(office: Office) -> None:
    office.set("huntgroup add 600 101 102 103 104 --mode parallel --ring 20")
    losers = [office.phone(office.here, "101"), office.phone(office.there, "103")]
    winner = office.phone(office.there, "102", QUICK, media=True, nat=Nat())
    # Not to be disturbed: whoever takes the call asks, not who has the phone.
    office.set("account service set 104 --dnd")
    quiet = office.phone(office.there, "104")
    call = office.caller(office.here, media=True).call("600")
    other = winner.wait_call().wait_answered()
    talk(call, other)
    for phone in losers:
        assert_taken_elsewhere(phone)
    assert quiet.calls == []
    assert other.invite.headers.starting_with("X-KS-") == []
    call.hang_up()
    other.wait_ended()
    assert not call.forked
    row = cdr_of_one_call(office.here, call)
    assert (row["final_code"], row["hung_up_by"]) == (200, "caller")
    # The caller's proxy sees nobody behind NAT: only the other one relays.
    office.there.wait_stored()
    counted = office.here.rows("SELECT media FROM call WHERE call_id = %s", [row["call_id"]])
    assert counted[0]["media"]


def test_a_member_of_the_callers_own_proxy_answers_first(office: Office) -> None:
    office.set("huntgroup add 600 102 101 103 --mode parallel --ring 20")
    winner = office.phone(office.here, "101", QUICK, media=True)
    losers = [office.phone(office.there, "102"), office.phone(office.there, "103")]
    call = office.caller(office.here, media=True).call("600")
    other = winner.wait_call().wait_answered()
    talk(call, other)
    for phone in losers:
        assert_taken_elsewhere(phone)
    other.hang_up()
    call.wait_ended()
    assert cdr_of_one_call(office.here, call)["hung_up_by"] == "callee"


def test_a_caller_who_gives_up_stops_every_phone(office: Office) -> None:
    office.set("huntgroup add 600 101 102 103 --mode parallel --ring 20")
    phones = [office.phone(at, name) for at, name in ((office.here, "101"), (office.there, "102"))]
    phones.append(office.phone(office.there, "103"))
    call = office.caller(office.here).invite("600").wait_ringing()
    for phone in phones:
        phone.wait_call()
    call.cancel()
    for phone in phones:
        assert phone.wait_call().wait_ended().cancelled
    row = cdr_of_one_call(office.here, call)
    assert (row["final_code"], row["hung_up_by"]) == (487, "caller")


def test_busy_members_of_both_proxies_lead_to_the_fallback(office: Office) -> None:
    office.set("huntgroup add 600 101 102 --mode parallel --ring 20 --fallback account:103")
    for at, name in ((office.here, "101"), (office.there, "102")):
        office.phone(at, name, Plan.reject(486))
    last = office.phone(office.there, "103", QUICK)
    call = office.caller(office.here).call("600")
    last.wait_call().wait_answered()
    call.hang_up()


def test_nobody_of_a_parallel_group_is_registered(office: Office) -> None:
    office.set("huntgroup add 600 101 102 --mode parallel --ring 20")
    assert office.caller(office.here).invite("600").wait_ended().code == 480


def test_a_serial_group_goes_from_one_to_the_next_at_the_other_proxy(office: Office) -> None:
    office.set("huntgroup add 600 101 102 103 --mode serial --ring 2")
    first = office.phone(office.there, "101", Plan.reject(486))
    second = office.phone(office.there, "102")
    third = office.phone(office.there, "103", QUICK, media=True, nat=Nat())
    call = office.caller(office.here, media=True, nat=Nat()).invite("600").wait_answered(30)
    other = third.wait_call().wait_answered()
    talk(call, other)
    assert second.wait_call().wait_ended().cancelled
    assert [len(phone.calls) for phone in (first, second, third)] == [1, 1, 1]
    other.hang_up()
    call.wait_ended()
    assert cdr_of_one_call(office.here, call)["final_code"] == 200


def test_the_phones_of_one_account_ring_at_both_proxies(office: Office) -> None:
    mobile = office.phone(office.there, "101", QUICK, media=True, nat=Nat())
    desk = office.phone(office.here, "101")
    aor = "sip:101@demo.test"
    office.here.wait(lambda: where(office.here, aor), 30, "the first proxy knows of the phone elsewhere")
    office.there.wait(lambda: where(office.there, aor), 30, "the second proxy knows of the phone elsewhere")
    call = office.caller(office.here, media=True).call("101")
    other = mobile.wait_call().wait_answered()
    talk(call, other)
    assert_taken_elsewhere(desk)
    call.hang_up()
    other.wait_ended()
    assert cdr_of_one_call(office.here, call)["final_code"] == 200
    # From the other side, and the other phone is quicker.
    mobile.plan, desk.plan = Plan.ring(), QUICK
    call = office.caller(office.there, "100").call("101")
    desk.wait_call(2).wait_answered()
    assert mobile.wait_call(2).wait_ended().cancelled
    call.hang_up()
    # One phone has gone: the account rings where the other one is.
    desk.unregister()
    office.there.wait(lambda: not where(office.there, aor), 30, "one phone is left")
    assert office.caller(office.here).invite("101").wait_ringing().cancel().code == 200
    assert mobile.wait_call(3).wait_ended().cancelled


def where(switch: Switch, aor: str) -> bool:
    """Tell whether a proxy knows that an account has phones at another one."""
    return aor in table(switch, "where")
