"""Methods account.service.*, huntgroup.*, starcode.*, forwarding.*, park.*: supplementary services."""

from __future__ import annotations

from api.method import Fields, Method, Scope, Tenancy
from kalibri.db import Conn
from kalibri.services import account_service as services
from kalibri.services import hunt_group as groups
from kalibri.services import park as parking
from kalibri.services import service_code as codes
from kalibri.services.account_service import ServiceFlags, Services
from kalibri.services.hunt_group import HuntGroup
from kalibri.services.park import ParkPolicy
from kalibri.services.service_code import ForwardPolicy, ServiceCode


def block(conn: Conn, *, tenant_id: int, username: str, caller: str) -> Services:
    """Refuse a caller of an account; one that ends with * is a prefix. Raises NotFound, BadInput."""
    return services.list_caller(conn, tenant_id=tenant_id, username=username, caller=caller, which="black")


def allow(conn: Conn, *, tenant_id: int, username: str, caller: str) -> Services:
    """Let a caller ring an account whatever else is set. Raises NotFound, BadInput."""
    return services.list_caller(conn, tenant_id=tenant_id, username=username, caller=caller, which="white")


def reset_code(conn: Conn, *, tenant_id: int, action: str) -> ServiceCode:
    """Give an action its usual code again. Raises BadInput."""
    return codes.set_code(conn, tenant_id=tenant_id, action=action, code=None)


METHODS = (
    Method("account.service.list", services.list_services, Scope.READ, Tenancy.FILTER),
    *(
        Method(f"account.service.{verb}", do, Scope.AGENT, Tenancy.ONE, more, account="username")
        for verb, do, more in (
            ("show", services.find, None),
            ("set", services.change, Fields(ServiceFlags)),
            ("forward", services.forward, None),
            ("unforward", services.unforward, None),
            ("block", block, None),
            ("allow", allow, None),
            ("unlist", services.unlist_caller, None),
            ("dial", services.set_speed_dial, None),
            ("undial", services.remove_speed_dial, None),
        )
    ),
    Method("huntgroup.list", groups.list_groups, Scope.READ, Tenancy.FILTER),
    Method("huntgroup.show", groups.find, Scope.READ, Tenancy.ONE),
    Method("huntgroup.add", groups.add, Scope.ADMIN, Tenancy.ONE),
    Method(
        "huntgroup.set",
        groups.change,
        Scope.ADMIN,
        Tenancy.ONE,
        Fields(HuntGroup, without=("tenant_id", "tenant", "name")),
    ),
    Method("huntgroup.rm", groups.remove, Scope.ADMIN, Tenancy.ONE),
    Method("starcode.list", codes.list_codes, Scope.READ, Tenancy.ONE),
    Method("starcode.set", codes.set_code, Scope.ADMIN, Tenancy.ONE, narrow={"code": str}),
    Method("starcode.reset", reset_code, Scope.ADMIN, Tenancy.ONE),
    Method("forwarding.show", codes.find_policy, Scope.READ, Tenancy.ONE),
    Method("forwarding.set", codes.set_policy, Scope.ADMIN, Tenancy.ONE, Fields(ForwardPolicy)),
    Method("park.show", parking.find_policy, Scope.READ, Tenancy.ONE),
    Method("park.set", parking.set_policy, Scope.ADMIN, Tenancy.ONE, Fields(ParkPolicy)),
)
