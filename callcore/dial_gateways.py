"""How providers (gateways) bear what is dialled: who rests, who is tried again, who is full. Pure.

Decides, from what the proxies told of calls that were sent to gateways, which gateways the next dials keep away from,
and whether a campaign may dial at all. Routes decide which gateways a number may go to: so a campaign is held only
when every gateway that its dials went to lately rests or is full. Never dials. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from callcore.dial import DialReason
from callcore.dial_brake import FailureBrake, FailureLimit

#: What a campaign's dials were sent to is remembered for so long.
USED_SECONDS = 600.0
#: After "full" a campaign goes on with one call for each that ends, until nothing was refused for so long,
FULL_SECONDS = 60.0
#: and with one more so often, for others may have left lines free.
EXTRA_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Via:
    """What one dial does about gateways."""

    #: Gateways that it keeps away from.
    avoid: tuple[int, ...] = ()
    #: Gateway that it tries first, to see whether it works again; 0: none.
    probe: int = 0

    @property
    def told(self) -> dict[str, str]:
        """The keys of an order (sems_apps.dial_order) that say so; none where there is nothing to say."""
        avoid = {"avoid": ",".join(map(str, self.avoid))} if self.avoid else {}
        return avoid | ({"probe": str(self.probe)} if self.probe else {})


@dataclass(frozen=True, slots=True)
class GatewayRoom:
    """How many calls the gateways allow a campaign."""

    #: None: any number.
    calls: int | None = None
    reason: DialReason = DialReason.GATEWAY_FAILURES
    #: Which gateways rest or are full, for people.
    detail: str = ""


@dataclass(slots=True)
class _Full:
    until: float
    extra_at: float
    words: str
    #: Calls of the campaign that have ended since, and were not replaced.
    freed: int = 0


@dataclass(slots=True)
class _Used:
    """Gateways of a campaign, and when each was sent a call last."""

    at: dict[int, float] = field(default_factory=dict)

    def since(self, then: float) -> list[int]:
        self.at = {gateway: at for gateway, at in self.at.items() if at >= then}
        return sorted(self.at)


class GatewayWatch:
    """All gateways, as the dialler knows them. A new one begins without any suspicion."""

    def __init__(self, limit: FailureLimit | None = None) -> None:
        self._limit = limit
        self._brakes: dict[int, FailureBrake] = {}
        self._names: dict[int, str] = {}
        self._used: defaultdict[int, _Used] = defaultdict(_Used)
        self._full: dict[int, _Full] = {}

    # ---- what happened

    def ended(self, campaign: int, gateway: int, name: str, *, failed: bool, now: float) -> None:
        """A gateway has failed a dial of a campaign, or has taken it (whatever the person then said)."""
        self._names[gateway] = name
        self._used[campaign].at[gateway] = now
        self._brakes.setdefault(gateway, FailureBrake(self._limit)).ended(failed, now)

    def full(self, campaign: int, words: str, now: float) -> None:
        """A dial was refused because every gateway of its route is full; words: what the proxy said."""
        known = self._full.get(campaign)
        freed = known.freed if known else 0
        self._full[campaign] = _Full(now + FULL_SECONDS, now + EXTRA_SECONDS, words, freed)

    def freed(self, campaign: int) -> None:
        """A dial of a campaign is over that a gateway had taken."""
        if campaign in self._full:
            self._full[campaign].freed += 1

    def is_full(self, campaign: int) -> bool:
        """Tell whether dials of a campaign were refused lately because every gateway was full."""
        return campaign in self._full

    # ---- what follows

    def room(self, campaign: int, now: float) -> GatewayRoom:
        """Return how many calls of a campaign the gateways bear now."""
        full = self._full.get(campaign)
        if full is not None and now >= full.until:
            del self._full[campaign]
            full = None
        if full is not None:
            return GatewayRoom(full.freed + (now >= full.extra_at), DialReason.GATEWAY_LIMIT, full.words)
        used = self._used[campaign].since(now - USED_SECONDS)
        rests = {gateway: room for gateway in used if (room := self._room(gateway, now)) is not None}
        detail = "resting: " + ", ".join(self._names[gateway] for gateway in rests) if rests else ""
        calls = sum(rests.values()) if rests and len(rests) == len(used) else None
        return GatewayRoom(calls, DialReason.GATEWAY_FAILURES, detail)

    def plan(self, campaign: int, calls: int, now: float) -> list[Via]:
        """Return what each of the next calls of a campaign does; probes first."""
        resting = self._resting(now)
        if not resting:
            return [Via()] * calls
        used = set(self._used[campaign].since(now - USED_SECONDS))
        probes = [gateway for gateway in sorted(resting) if gateway in used for _ in range(resting[gateway])]
        avoid = [Via(tuple(other for other in sorted(resting) if other != probe), probe) for probe in probes]
        return [*avoid, *[Via(tuple(sorted(resting)))] * calls][:calls]

    def placed(self, campaign: int, vias: Sequence[Via], now: float) -> None:
        """Note calls that were placed as planned."""
        full = self._full.get(campaign)
        if full is not None:
            if len(vias) > full.freed:
                full.extra_at = now + EXTRA_SECONDS
            full.freed = max(0, full.freed - len(vias))
        for via in vias:
            if via.probe:
                self._brakes[via.probe].placed(1)

    def _resting(self, now: float) -> Mapping[int, int]:
        rooms = {gateway: self._room(gateway, now) for gateway in self._brakes}
        return {gateway: room for gateway, room in rooms.items() if room is not None}

    def _room(self, gateway: int, now: float) -> int | None:
        return self._brakes[gateway].room(now)
