"""A strict world around the pure hold_queue machine: performs its actions in memory and checks each one.

It knows what a host knows: which legs are there, who hears what, which timers run, which offers are open. Every
action that makes no sense is an AssertionError, so that a scenario or a random run needs no assertions of its own.

    world = QueueWorld()
    world.feed(CallerArrived("+74951234567", QueueSettings(music="jazz")))
    world.feed(Entered(settings)); assert world.hears("caller") == "jazz"
"""

from __future__ import annotations

from callcore.call_queue import OfferOutcome
from sems_apps import actions as do
from sems_apps.actions import CALLER, Action
from sems_apps.events import (
    CallbackDue,
    CallbackTaken,
    CallerArrived,
    Diverted,
    Event,
    LegAnswered,
    LegEnded,
    LegFailed,
    OfferClaimed,
    OfferMade,
)
from sems_apps.machines.hold_queue import HoldQueue
from sems_apps.machines.queue_call import Phase

#: An offer has exactly one of these as its end.
FINAL = set(OfferOutcome) - {OfferOutcome.ANSWERED}


class QueueWorld:
    """One call and everything that the host would do for it."""

    def __init__(self, machine: HoldQueue | None = None) -> None:
        self.machine = machine or HoldQueue()
        self.now = 1000.0
        #: Leg → "incoming", "dialling", "up", "ended".
        self.legs: dict[str, str] = {}
        self.playing: dict[str, do.Play] = {}
        self.timers: dict[str, float] = {}
        self.bridges: set[frozenset[str]] = set()
        #: Offer → what was reported of it, in order.
        self.offers: dict[int, list[OfferOutcome]] = {}
        #: Offers that the ACD gave to somebody else.
        self.lost: set[int] = set()
        self.joined: list[int] = []
        self.talk_ended: list[int] = []
        self.in_queue = False
        self.callback = False
        self.finished = ""
        self.rang = False
        self.recording = False
        self.supervised: dict[str, do.SupervisionMode] = {}
        self.notified: list[tuple[str, int]] = []
        self.reports: list[Action] = []
        #: Every action, for assertions.
        self.done: list[Action] = []

    def feed(self, event: Event) -> list[Action]:
        """Give the machine an event and perform what it wants."""
        self._note(event)
        self.now += 0.01
        actions = list(self.machine.step(event, self.now))
        for action in actions:
            assert not self.finished, f"{action} after the end"
            self.done.append(action)
            getattr(self, f"_{type(action).__name__.lower()}")(action)
        self.check()
        return actions

    def hears(self, leg: str) -> str:
        """Return what a leg hears from us, as words: "jazz", "callback_at +7495… callback_confirm"."""
        play = self.playing.get(leg)
        if play is None:
            return ""
        return " ".join(sound.text or f"{sound.kind}:{sound.number}-{sound.upper}" for sound in play.sounds)

    def partner(self) -> str:
        """Return whom the caller is bridged with."""
        return next((leg for pair in self.bridges for leg in pair - {CALLER} if CALLER in pair), "")

    def live(self) -> list[str]:
        """Return the legs that are there."""
        return [leg for leg, state in self.legs.items() if state != "ended"]

    def check(self) -> None:
        """What holds after every step."""
        for pair in self.bridges:
            assert all(self.legs[leg] == "up" for leg in pair), f"{pair} of {self.legs}"
        assert len(self.bridges) <= 1
        if self.finished:
            assert not self.live(), f"finished with {self.live()}"
            # A callback that could not be served is given back: the entry was never this session's to end.
            assert not self.in_queue or self.callback, "finished in the queue"
            assert all(self.is_closed(offer) for offer in self.offers), self.offers
        elif self.machine.phase is Phase.WAITING:
            assert self.legs[CALLER] == "up"
            assert CALLER in self.playing or self.machine.call.ear.hearing in ("typing", "confirming"), (
                "a waiting caller in silence"
            )
        if self.machine.phase is Phase.TALKING:
            assert self.partner()

    def is_closed(self, offer: int) -> bool:
        """Whether the ACD knows how an offer ended: refused, or talked to the end."""
        outcomes = self.offers[offer]
        return bool(outcomes and outcomes[-1] in FINAL) or offer in self.talk_ended or offer in self.lost

    # ---- what events tell the world

    def _note(self, event: Event) -> None:
        if isinstance(event, CallerArrived):
            self.legs[CALLER] = "incoming"
        elif isinstance(event, CallbackDue):
            self.in_queue = self.callback = True
            if event.offer:
                self.offers[event.offer] = []
        elif isinstance(event, OfferClaimed) and not event.won:
            self.lost.add(event.offer)
        elif isinstance(event, OfferMade):
            self.offers.setdefault(event.offer, [])
        elif isinstance(event, Diverted) or (isinstance(event, CallbackTaken) and event.accepted):
            self.in_queue = False
        elif isinstance(event, LegAnswered):
            self._become(event.leg, "dialling", "up")
        elif isinstance(event, LegFailed):
            self._become(event.leg, "dialling", "ended")
        elif isinstance(event, LegEnded):
            assert self.legs[event.leg] in ("up", "incoming")
            self._gone(event.leg)

    def _become(self, leg: str, old: str, new: str) -> None:
        assert self.legs[leg] == old
        self.legs[leg] = new

    def _gone(self, leg: str) -> None:
        self.legs[leg] = "ended"
        self.playing.pop(leg, None)
        self.supervised.pop(leg, None)
        self.bridges = {pair for pair in self.bridges if leg not in pair}

    def _live(self, leg: str, *states: str) -> bool:
        """Whether the leg is in one of these states; one that ended meanwhile is left alone by the host."""
        assert leg in self.legs, f"unknown leg {leg}"
        if self.legs[leg] == "ended":
            return False
        assert self.legs[leg] in states, f"{leg} is {self.legs[leg]}"
        return True

    # ---- actions

    def _ring(self, action: do.Ring) -> None:
        assert self._live(action.leg, "incoming")
        self.rang = True

    def _answer(self, action: do.Answer) -> None:
        assert self._live(action.leg, "incoming")
        self.legs[action.leg] = "up"

    def _reject(self, action: do.Reject) -> None:
        assert self._live(action.leg, "incoming")
        assert 400 <= action.code < 700
        self._gone(action.leg)

    def _play(self, action: do.Play) -> None:
        if self._live(action.leg, "up"):
            assert action.sounds
            self.playing[action.leg] = action

    def _stopplaying(self, action: do.StopPlaying) -> None:
        if self._live(action.leg, "up"):
            self.playing.pop(action.leg, None)

    def _starttimer(self, action: do.StartTimer) -> None:
        assert action.seconds > 0
        self.timers[action.name] = action.seconds

    def _stoptimer(self, action: do.StopTimer) -> None:
        self.timers.pop(action.name, None)

    def _dial(self, action: do.Dial) -> None:
        assert self.legs.get(action.leg, "ended") == "ended", f"{action.leg} dialled twice"
        assert action.target
        self.legs[action.leg] = "dialling"

    def _canceldial(self, action: do.CancelDial) -> None:
        assert self._live(action.leg, "dialling")
        self._gone(action.leg)

    def _hangup(self, action: do.Hangup) -> None:
        if self._live(action.leg, "up"):
            self._gone(action.leg)

    def _bridge(self, action: do.Bridge) -> None:
        assert self._live(action.left, "up")
        assert self._live(action.right, "up")
        self.bridges = {frozenset((action.left, action.right))}
        self.playing.pop(action.left, None)
        self.playing.pop(action.right, None)

    def _unbridge(self, action: do.Unbridge) -> None:
        self.bridges.discard(frozenset((action.left, action.right)))

    def _record(self, action: do.Record) -> None:
        self.recording = action.on

    def _notify(self, action: do.Notify) -> None:
        assert self.legs[action.leg] == "up"
        self.notified.append((action.leg, action.code))

    def _supervise(self, action: do.Supervise) -> None:
        assert self._live(action.leg, "up")
        assert frozenset((action.caller, action.agent)) in self.bridges
        self.supervised[action.leg] = action.mode

    def _unsupervise(self, action: do.Unsupervise) -> None:
        self.supervised.pop(action.leg, None)

    def _enterqueue(self, action: do.EnterQueue) -> None:
        assert not self.in_queue
        self.in_queue = True

    def _leavequeue(self, action: do.LeaveQueue) -> None:
        assert self.in_queue
        # Where the exit key leads without a target of its own is the ACD's decision.
        self.in_queue = action.cause == "exit" and not self.machine.call.settings.exit_target
        self.reports.append(action)

    def _reportoffer(self, action: do.ReportOffer) -> None:
        outcomes = self.offers.setdefault(action.offer, [])
        assert not outcomes or outcomes == [OfferOutcome.ANSWERED], f"{action} after {outcomes}"
        assert action.offer not in self.joined
        outcomes.append(action.outcome)

    def _reportjoin(self, action: do.ReportJoin) -> None:
        assert self.offers[action.offer] == [OfferOutcome.ANSWERED]
        assert action.offer not in self.joined
        self.joined.append(action.offer)
        self.in_queue = False

    def _reporttalkend(self, action: do.ReportTalkEnd) -> None:
        assert action.offer in self.joined
        assert action.offer not in self.talk_ended
        self.talk_ended.append(action.offer)
        assert not self.in_queue
        self.in_queue = action.again
        self.reports.append(action)

    def _askposition(self, action: do.AskPosition) -> None:
        assert self.in_queue

    def _askcallback(self, action: do.AskCallback) -> None:
        assert action.number

    def _reportcallback(self, action: do.ReportCallback) -> None:
        self.reports.append(action)

    def _reportsurvey(self, action: do.ReportSurvey) -> None:
        assert 1 <= action.score <= 5
        self.reports.append(action)

    def _reporthold(self, action: do.ReportHold) -> None:
        self.reports.append(action)

    def _reporttransfer(self, action: do.ReportTransfer) -> None:
        assert action.offer in self.joined
        self.reports.append(action)

    def _finish(self, action: do.Finish) -> None:
        self.finished = action.cause
