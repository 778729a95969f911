"""Calls a method for somebody: finds the tenant, checks scope and parameters, runs the service function.

Decides who may call what. Runs in a thread of the pool (services are synchronous); everything a call does is
one transaction, which row-level security confines to the tenant of a tenant's token.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.connections import Connections
from api.jsonrpc import InternalError, NoSuchMethod
from api.method import BadParameters, Context, Method, Scope, Tenancy
from callcore.errors import KalibriError, NotFound
from kalibri.config import Config
from kalibri.services import tenant as tenants
from kalibri.services.tenant import SYSTEM_TENANT_ID
from kalibri.services.token import Forbidden, Principal

log = logging.getLogger("ks-api")


class Executor:
    """Runs methods; one a process, used by many threads at once."""

    def __init__(
        self,
        config: Config,
        connections: Connections,
        methods: Mapping[str, Method],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._connections = connections
        self._methods = methods
        self._clock = clock

    def call(self, principal: Principal, name: str, params: Mapping[str, Any] | list[Any]) -> str:
        """Call a method and return its result as JSON; raises KalibriError, whatever went wrong."""
        try:
            return self._call(principal, name, params)
        except KalibriError as error:
            if type(error) is KalibriError:  # the domain did not foresee it
                log.error("%s: %s", name, error.message)
                raise InternalError() from error
            raise
        except Exception as error:
            log.exception("%s failed", name)
            raise InternalError() from error

    def _call(self, principal: Principal, name: str, params: Mapping[str, Any] | list[Any]) -> str:
        method = self._methods.get(name)
        if method is None:
            raise NoSuchMethod()
        require_scope(principal, method)
        given = method.check(method.by_position(params) if isinstance(params, list) else params)
        own_account(principal, method, given)
        tenant_name = given.pop("tenant", None)
        acting_for = None if principal.is_system else principal.tenant_id
        with self._connections.acting(
            tenant_id=acting_for, actor=principal.actor, one_transaction=method.one_transaction
        ) as conn:
            if method.takes_tenant:
                given["tenant_id"] = _tenant_id(conn, principal, method, tenant_name)
            first: Any = conn
            if method.wants_context:
                first = Context(conn=conn, config=self._config, principal=principal, now=self._clock())
            with _as_file(given) as arguments:
                found = method.do(first, **arguments)
                return written(method, found)


def require_scope(principal: Principal, method: Method) -> None:
    """Raise Forbidden if the token does not allow a method."""
    if method.tenancy is Tenancy.SYSTEM and not principal.is_system:
        raise Forbidden(f"{method.name} needs a token of the system")
    if method.name.startswith("session."):
        return
    if not principal.may(method.scope):
        raise Forbidden(f"{method.name} needs the scope {method.scope}", scope=method.scope)
    if principal.account is not None and method.scope is not Scope.AGENT:
        raise Forbidden(f"{method.name} is not for agents")


def own_account(principal: Principal, method: Method, given: dict[str, Any]) -> None:
    """Let the token of an account act for this account only.

    Raises Forbidden for another one, BadParameters when a program names none.
    """
    if method.account is None:
        return
    named = given.get(method.account)
    if principal.account is not None:
        if named not in (None, principal.account):
            raise Forbidden(f"{method.name}: an agent acts for himself only")
        given[method.account] = principal.account
    elif named is None:
        raise BadParameters(f"{method.account}: is missing")


def _tenant_id(conn: Any, principal: Principal, method: Method, name: str | None) -> int | None:
    if not principal.is_system:
        if name not in (None, principal.tenant):
            raise NotFound(f'there is no tenant "{name}"', kind="tenant", name=name)
        return principal.tenant_id
    if name is not None:
        return tenants.find(conn, name=name).tenant_id
    if method.tenancy is Tenancy.FILTER:
        return None
    if method.tenancy is Tenancy.OWNER:
        return SYSTEM_TENANT_ID
    raise BadParameters("tenant: is missing (a token of the system must name one)")


@contextmanager
def _as_file(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Put the text of a file into one: imports read files."""
    if "csv" not in given:
        yield dict(given)
        return
    others = {name: value for name, value in given.items() if name != "csv"}
    with tempfile.NamedTemporaryFile(prefix="ks-api-", suffix=".csv") as file:
        # What Unicode has no character for cannot be in a file; it is refused line by line.
        file.write(given["csv"].encode("utf-8", "replace"))
        file.flush()
        yield {**others, "file": Path(file.name)}


def written(method: Method, found: Any) -> str:
    """Return a result as JSON, in the form that the document promises."""
    if isinstance(found, Iterator):
        found = "".join(found)
    return method.result.dump_json(found, warnings=False).decode()
