"""A supervisor takes part in a conversation: hands the caller on, listens, whispers, speaks with both, ends it."""

from __future__ import annotations

from tests.support.call_centre import CallCentre, Queue
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call, CallState
from tests.support.sip_phone import Phone

#: Frames of one speaker that must arrive in a row; the first and the last of a fork may be cut.
EXACT = 25


def order(centre: CallCentre, sales: Queue, verb: str, *words: str, code: int = 0) -> str:
    """Give an order to the only call of a queue."""
    entry = str(sales.entries[-1]["entry_id"])
    return centre.switch.ksctl("call", verb, entry, *words, "-t", "demo", code=code)


def stays(centre: CallCentre, sales: Queue, *calls: Call) -> None:
    """Wait until the entry has been over for some reports of the media host; the calls must be up."""
    over = "SELECT 1 FROM queue_entry WHERE entry_id = %s AND ended_at < clock_timestamp() - interval '7 s'"
    entry = sales.entries[-1]["entry_id"]
    centre.switch.wait(lambda: centre.switch.rows(over, [entry]), 40, "the entry is long over")
    for call in calls:
        assert call.state is CallState.ANSWERED, call.phone.trace()


def outside(centre: CallCentre, number: str) -> Phone:
    """Return the phone that a number outside leads to."""
    phone = centre.phone("103")
    phone.register()
    centre.switch.add_route(f"^{number}$", "account:103", priority=float(number[-4:]) + 0.5)
    centre.switch.save()
    return phone


def test_to_an_agent_by_his_name_whose_phone_is_a_number(live_centre: CallCentre) -> None:
    far = live_centre.agent(number="84950000091", login=False)
    phone = outside(live_centre, "84950000091")
    eve = live_centre.agent()
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.wait("busy")
    order(live_centre, sales, "transfer", f"agent:{far.name}")
    target = phone.wait_call().wait_answered()
    assert target.invite.from_addr.uri.user == "100"
    eve.call().wait_ended()
    eve.wait("free")
    assert sales.wait_entry("ended")["end_reason"] == "transferred"
    stays(live_centre, sales, call, target)
    call.hang_up()
    target.wait_ended()
    phone.unregister()


def test_reassign_gives_a_talking_caller_to_another_agent(live_centre: CallCentre) -> None:
    eve, adam = live_centre.agent(), live_centre.agent()
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.wait("busy")
    order(live_centre, sales, "reassign", adam.name)
    adam.call().wait_answered()
    adam.wait("busy")
    eve.wait("free")
    stays(live_centre, sales, call, adam.call())
    call.hang_up()
    adam.wait("free")


def test_to_nobody_is_refused_and_they_talk_on(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], transferable=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.wait("busy")
    for target, code in (("agent:nobody", 3), ("queue:nowhere", 3), ("account:nobody", 1), ("number:x", 1)):
        order(live_centre, sales, "transfer", target, code=code)
    assert (eve.call().state, call.state) == ("answered", "answered")
    call.hang_up()
    eve.wait("free")


def test_a_direct_call_cannot_be_listened_to(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.wait("busy")
    order(live_centre, sales, "listen", "--to", "103", code=4)
    assert (eve.call().state, call.state) == ("answered", "answered")
    call.hang_up()
    eve.wait("free")


class Conversation:
    """Caller, agent and supervisor, each with media."""

    def __init__(self, centre: CallCentre) -> None:
        self.centre = centre
        self.eve = centre.agent(media=True)
        self.sales = centre.queue([self.eve], supervised=True, wrapup_seconds=0)
        self.boss = centre.phone("103", media=True)
        self.boss.register()
        self.caller = centre.caller(media=True).call(self.sales.uri)
        self.agent = self.eve.call().wait_answered()
        self.eve.wait("busy")

    def supervise(self, verb: str) -> Call:
        """Let the supervisor take part."""
        order(self.centre, self.sales, verb, "--to", "103")
        return self.boss.wait_call().wait_answered()

    def hears(self, listener: Call, speaker: Call, seed: int) -> int:
        """Let one speak; return how many frames in a row another heard, bit by bit."""
        frames = known_payload(1.0, seed)
        listener.media.received.clear()
        speaker.media.play(frames)
        speaker.media.wait_played()
        return compare(frames, list(listener.media.received)).longest_run

    def wait_hears(self, listener: Call, speaker: Call, seed: int) -> None:
        """Let one speak until the other hears him whole: what leads there takes its time."""
        for attempt in range(10):
            if self.hears(listener, speaker, seed + attempt) >= EXACT:
                return
        raise AssertionError("he is not heard")

    def close(self) -> None:
        """End everything."""
        self.caller.hang_up()
        self.eve.wait("free")
        self.boss.calls[0].wait_ended()
        self.boss.unregister()


def test_listen_then_whisper_then_barge_at_one_phone(live_centre: CallCentre) -> None:
    talk = Conversation(live_centre)
    boss = talk.supervise("listen")
    talk.wait_hears(boss, talk.caller, 100)
    talk.wait_hears(boss, talk.agent, 200)
    assert talk.hears(talk.agent, boss, 300) == 0
    assert talk.hears(talk.caller, boss, 310) == 0
    boss.hang_up()
    talk.wait_hears(talk.agent, talk.caller, 320)
    talk.boss.calls.clear()
    boss = talk.supervise("whisper")
    talk.wait_hears(talk.agent, boss, 400)
    assert talk.hears(talk.caller, boss, 500) == 0
    boss.hang_up()
    talk.boss.calls.clear()
    boss = talk.supervise("barge")
    talk.wait_hears(talk.agent, boss, 600)
    talk.wait_hears(talk.caller, boss, 700)
    talk.close()


def test_the_agents_side_is_hung_up(live_centre: CallCentre) -> None:
    eve = live_centre.agent()
    sales = live_centre.queue([eve], supervised=True, wrapup_seconds=0)
    call = live_centre.caller().call(sales.uri)
    eve.wait("busy")
    order(live_centre, sales, "hangup")
    assert (call.wait_ended().ended_by, eve.call().wait_ended().ended_by) == ("remote", "remote")
    eve.wait("free")
