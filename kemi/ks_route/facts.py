"""Facts of the whole system that routing needs: tenants, gateways, groups, schedules, caller ids.

Decides only how a name is found: a tenant's own first, then the system's (tenant 0). Read from
system.*.json once a generation; never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from callcore.account_service import ForwardPolicy
from callcore.errors import KalibriError
from callcore.gateway import Gateway, GatewayGroup
from callcore.schedule import Schedule
from callcore.star_code import DEFAULT_CODES, StarAction, codes_of

SYSTEM_TENANT = 0

_Named = TypeVar("_Named", Gateway, GatewayGroup, Schedule)


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """What the proxy needs to know of a tenant."""

    name: str
    realm: str
    time_zone: str
    #: Calls at once; None: no limit.
    max_calls: int | None = None
    #: Its calls are recorded if neither route nor account decides.
    record_calls: bool = False
    #: Codes for services (callcore/star_code.py), by action.
    codes: Mapping[StarAction, str] = field(default_factory=lambda: dict(DEFAULT_CODES))
    forward: ForwardPolicy = field(default_factory=ForwardPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFacts:
    """Everything small, with the indexes to find it by name; build with `make` or `from_json`."""

    tenants: Mapping[int, TenantFacts] = field(default_factory=dict)
    #: Domain name to tenant id.
    domains: Mapping[str, int] = field(default_factory=dict)
    gateways: Mapping[int, Gateway] = field(default_factory=dict)
    groups: Mapping[int, GatewayGroup] = field(default_factory=dict)
    schedules: Mapping[int, Schedule] = field(default_factory=dict)
    #: (tenant id, set name) to {region: number}; the empty region is the default of the set.
    caller_ids: Mapping[tuple[int, str], Mapping[str, str]] = field(default_factory=dict)
    nodes: tuple[Mapping[str, Any], ...] = ()
    #: What could not be read, in plain words (a schedule with bad hours ...).
    problems: tuple[str, ...] = ()
    gateway_names: Mapping[tuple[int, str], Gateway] = field(default_factory=dict)
    group_names: Mapping[tuple[int, str], GatewayGroup] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        *,
        gateways: Iterable[Gateway] = (),
        groups: Iterable[GatewayGroup] = (),
        schedules: Iterable[Schedule] = (),
        caller_ids: Iterable[tuple[int, str, str, str]] = (),
        tenants: Mapping[int, TenantFacts] | None = None,
        domains: Mapping[str, int] | None = None,
        nodes: Iterable[Mapping[str, Any]] = (),
        problems: Iterable[str] = (),
    ) -> SystemFacts:
        """Build with indexes; caller_ids are (tenant id, set name, region, number)."""
        sets: dict[tuple[int, str], dict[str, str]] = {}
        for tenant_id, set_name, region, number in caller_ids:
            sets.setdefault((tenant_id, set_name), {})[region] = number
        gateways, groups = list(gateways), list(groups)
        return cls(
            tenants=tenants or {},
            domains=domains or {},
            gateways={entry.gateway_id: entry for entry in gateways},
            groups={entry.group_id: entry for entry in groups},
            schedules={entry.schedule_id: entry for entry in schedules},
            caller_ids=sets,
            nodes=tuple(nodes),
            problems=tuple(problems),
            gateway_names={(entry.tenant_id, entry.name): entry for entry in gateways},
            group_names={(entry.tenant_id, entry.name): entry for entry in groups},
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SystemFacts:
        """Build from the content of system.*.json; one bad entry is left out and named in `problems`."""
        problems: list[str] = []
        schedules: list[Schedule] = []
        for entry in data.get("schedules", {}).values():
            try:
                schedules.append(Schedule.from_json(entry))
            except (KalibriError, ValueError, KeyError) as error:
                problems.append(f"schedule {entry.get('schedule_id')}: {error}")
        return cls.make(
            gateways=[Gateway.from_json(entry) for entry in data.get("gateways", {}).values()],
            groups=[GatewayGroup.from_json(entry) for entry in data.get("groups", {}).values()],
            schedules=schedules,
            caller_ids=[
                (entry["tenant_id"], entry["set_name"], entry["region"], entry["number"])
                for entry in data.get("caller_ids", ())
            ],
            tenants={int(key): _tenant(entry) for key, entry in data.get("tenants", {}).items()},
            domains=dict(data.get("domains", {})),
            nodes=data.get("nodes", ()),
            problems=problems,
        )

    def gateway(self, tenant_id: int, name: str) -> Gateway | None:
        """Find a gateway by name: the tenant's own first, then the system's."""
        return _own_or_system(self.gateway_names, tenant_id, name)

    def group(self, tenant_id: int, name: str) -> GatewayGroup | None:
        """Find a gateway group by name: the tenant's own first, then the system's."""
        return _own_or_system(self.group_names, tenant_id, name)

    def gateways_called(self, tenant_id: int, name: str) -> frozenset[int]:
        """Return the gateways that a name of a gateway or group means: the tenant's own name before the system's."""
        for owner in (tenant_id, SYSTEM_TENANT):
            if (gateway := self.gateway_names.get((owner, name))) is not None:
                return frozenset({gateway.gateway_id})
            if (group := self.group_names.get((owner, name))) is not None:
                return frozenset(member.gateway_id for member in group.members)
        return frozenset()

    def caller_id(self, tenant_id: int, set_name: str, region: str | None) -> str | None:
        """Return the number that a caller-ID set shows towards a region; None if there is no such set."""
        numbers = self.caller_ids.get((tenant_id, set_name))
        if numbers is None:
            numbers = self.caller_ids.get((SYSTEM_TENANT, set_name))
        if numbers is None:
            return None
        return numbers.get(region or "") or numbers.get("")


def _own_or_system(names: Mapping[tuple[int, str], _Named], tenant_id: int, name: str) -> _Named | None:
    own = names.get((tenant_id, name))
    return own if own is not None else names.get((SYSTEM_TENANT, name))


_ACTIONS = frozenset(StarAction)


def _tenant(data: Mapping[str, Any]) -> TenantFacts:
    return TenantFacts(
        data["name"],
        data["realm"],
        data["time_zone"],
        data.get("max_calls"),
        data.get("record_calls", False),
        codes_of(
            {StarAction(key): code for key, code in (data.get("codes") or {}).items() if key in _ACTIONS}
        ),
        ForwardPolicy.from_json(data.get("forward")),
    )
