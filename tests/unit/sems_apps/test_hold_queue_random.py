"""Random orders of everything that can happen to a queue call: no stuck call, no lost leg, no double join."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.call_queue import OfferOutcome
from sems_apps.actions import CALLER, SUPERVISOR_PREFIX, AskCallback, Dial, ReportOffer, SupervisionMode
from sems_apps.events import (
    AcdAway,
    CallbackDue,
    CallbackTaken,
    CallerArrived,
    Diverted,
    Dtmf,
    Entered,
    Event,
    HangupAsked,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegHeld,
    LegRinging,
    Moved,
    OfferClaimed,
    OfferMade,
    OfferWithdrawn,
    PlayAsked,
    PositionKnown,
    PromptEnded,
    RecordAsked,
    SuperviseAsked,
    SupervisionEnded,
    TimerFired,
    TransferAsked,
    TransferCommanded,
)
from sems_apps.machines.hold_queue import HoldQueue
from sems_apps.machines.queue_call import Phase
from sems_apps.settings import AfterAgent, QueueSettings, WhileRinging
from tests.support.queue_world import QueueWorld

SETTINGS = st.builds(
    QueueSettings,
    music=st.sampled_from(["jazz", "blues"]),
    greeting=st.sampled_from(["", "welcome"]),
    answer_at_once=st.booleans(),
    announce_position=st.booleans(),
    announce_wait=st.booleans(),
    announce_every_seconds=st.sampled_from([0.0, 30.0]),
    periodic_prompt=st.sampled_from(["", "periodic"]),
    periodic_every_seconds=st.sampled_from([0.0, 60.0]),
    comfort_prompt=st.sampled_from(["", "comfort"]),
    comfort_every_seconds=st.sampled_from([0.0, 20.0]),
    callback_key=st.sampled_from(["", "1"]),
    exit_key=st.sampled_from(["", "0"]),
    exit_target=st.sampled_from(["", "100"]),
    position_key=st.sampled_from(["", "9"]),
    while_ringing=st.sampled_from(WhileRinging),
    whisper=st.sampled_from(["", "whisper"]),
    after_agent=st.sampled_from(AfterAgent),
    record=st.booleans(),
)
NUMBERS = st.sampled_from(["", "+74951234567"])


class Fate:
    """Says which events are possible now, and keeps what the ACD would know."""

    def __init__(self, world: QueueWorld, draw: Callable[[st.SearchStrategy], object]) -> None:
        self.world, self.draw = world, draw
        self.offers = 0
        self.supervisors = 0
        #: Offers that were answered and are not decided yet.
        self.claims: list[int] = []
        self.callback_asked = False

    def note(self, actions: list) -> None:
        """Remember what the machine asked of the ACD."""
        for action in actions:
            if isinstance(action, ReportOffer) and action.outcome is OfferOutcome.ANSWERED:
                self.claims.append(action.offer)
            if isinstance(action, AskCallback):
                self.callback_asked = True

    def possible(self) -> list[Event]:
        """Return every event that could come next."""
        world = self.world
        events: list[Event] = [HangupAsked(), AcdAway(), RecordAsked(True), TransferCommanded("300")]
        events += [HangupAsked("supervisor", agent_only=True), PlayAsked("soon")]
        events += [SupervisionEnded(leg) for leg in world.legs if leg.startswith(SUPERVISOR_PREFIX)]
        for leg, state in world.legs.items():
            if state == "dialling":
                events += [
                    LegRinging(leg),
                    LegAnswered(leg),
                    LegAnswered(leg),
                    LegFailed(leg, 486),
                    LegFailed(leg, 503),
                ]
            elif state == "up":
                events += [
                    LegEnded(leg),
                    LegHeld(leg, True),
                    LegHeld(leg, False),
                    Dtmf(leg, "5"),
                    TransferAsked(leg, "200"),
                ]
            elif state == "incoming":
                events.append(LegEnded(leg))
        for leg, play in world.playing.items():
            if not play.loop:
                events.append(PromptEnded(leg, play.token))
        events += [TimerFired(name) for name in world.timers]
        events += self._of_the_acd()
        if world.legs.get(CALLER) == "up":
            events += [Dtmf(CALLER, digit) for digit in "0129*#"]
        return events

    def _of_the_acd(self) -> list[Event]:
        world = self.world
        events: list[Event] = [
            OfferClaimed(number, won) for number in self.claims[-2:] for won in self._verdicts(number)
        ]
        for number in list(world.offers)[-2:]:
            events.append(OfferWithdrawn(number))
        if world.in_queue:
            self.offers += 1
            events += [
                Entered(world.machine.call.settings),
                Entered(world.machine.call.settings, offered=True),
                OfferMade(1000 + self.offers, "101", 15.0, ring_all=bool(self.offers % 2)),
                PositionKnown(3, 200.0),
                Moved(QueueSettings(music="swing")),
                Diverted("400", "full"),
                Diverted("", "ejected", "closed"),
            ]
        if self.callback_asked:
            events += [CallbackTaken(True), CallbackTaken(False)]
        self.supervisors += 1
        events.append(SuperviseAsked(f"{SUPERVISOR_PREFIX}{self.supervisors}", "900", SupervisionMode.LISTEN))
        return events

    def _verdicts(self, number: int) -> list[bool]:
        """Who was joined without asking keeps the caller, in this world."""
        return [True] if number in self.world.joined else [True, False]


def run(world: QueueWorld, first: Event, data: st.DataObject, steps: int) -> None:
    fate = Fate(world, data.draw)
    fate.note(world.feed(first))
    for _ in range(steps):
        if world.finished:
            break
        event = data.draw(st.sampled_from(fate.possible()), label="event")
        if isinstance(event, CallbackTaken):
            fate.callback_asked = False
        if isinstance(event, TimerFired):
            world.timers.pop(event.name)
        if isinstance(event, PromptEnded):
            world.playing.pop(event.leg)
        fate.note(world.feed(event))


@settings(max_examples=600)
@given(queue=SETTINGS, number=NUMBERS, data=st.data(), unbridges=st.booleans())
def test_caller_is_never_stuck(
    queue: QueueSettings, number: str, data: st.DataObject, unbridges: bool
) -> None:
    world = QueueWorld(HoldQueue(can_unbridge=unbridges))
    run(world, CallerArrived(number, queue), data, 40)
    if not world.finished:
        assert world.machine.phase is not Phase.ENDED
        world.feed(LegEnded(CALLER))
    assert world.finished


@settings(max_examples=300)
@given(queue=SETTINGS, offer=st.sampled_from([0, 5]), data=st.data())
def test_callback_is_never_stuck(queue: QueueSettings, offer: int, data: st.DataObject) -> None:
    world = QueueWorld()
    run(world, CallbackDue("+74951234567", queue, offer, target="105"), data, 30)
    if not world.finished:
        world.feed(HangupAsked())
    assert world.finished


@settings(max_examples=300)
@given(queue=SETTINGS, data=st.data())
def test_left_alone_every_dialogue_comes_to_rest(queue: QueueSettings, data: st.DataObject) -> None:
    """Timers and prompts alone lead nowhere but to waiting, talking or the end: nothing loops for ever fast."""
    world = QueueWorld()
    run(world, CallerArrived("+74951234567", queue), data, 20)
    for _ in range(60):
        pending: list[Event] = [
            PromptEnded(leg, play.token) for leg, play in world.playing.items() if not play.loop
        ]
        pending += [
            TimerFired(name) for name in world.timers if name not in ("announce", "periodic", "comfort")
        ]
        pending += [LegFailed(leg, 408) for leg, state in world.legs.items() if state == "dialling"]
        if world.finished or not pending:
            break
        event = pending[0]
        if isinstance(event, TimerFired):
            world.timers.pop(event.name)
        if isinstance(event, PromptEnded):
            world.playing.pop(event.leg)
        world.feed(event)
    else:
        raise AssertionError(f"still busy in {world.machine.phase} with {pending}")
    waits_for_acd = (
        any(isinstance(action, Dial) for action in world.done) or world.machine.call.joining is None
    )
    assert waits_for_acd
    assert world.finished or world.machine.phase in (
        Phase.WAITING,
        Phase.TALKING,
        Phase.RINGING,
    )
