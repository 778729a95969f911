"""Methods of the system itself: node.*, schema.*, token.*, audit.*, session.*."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from api.method import Context, Fields, Method, Scope, Tenancy
from callcore.errors import Refused
from callcore.states import NodeKind
from kalibri.db import Conn, connect_tool
from kalibri.services import audit, schema
from kalibri.services import node as nodes
from kalibri.services import token as tokens
from kalibri.services.node import Node
from kalibri.services.schema import Difference, SchemaState
from kalibri.services.token import Forbidden, NewToken

NODE_CHANGES = Fields(
    Node,
    without=("node_id", "name", "kind", "heartbeat_at", "heartbeat_age_seconds", "data"),
)
Limit = Annotated[int, Field(ge=1, le=1000)]
#: Ten years, in seconds.
Seconds = Annotated[float, Field(gt=0, le=315_360_000)]


def add_node(
    context: Context,
    *,
    name: str,
    kind: NodeKind,
    address: str,
    host: str | None = None,
    weight: int = nodes.DEFAULT_WEIGHT,
    capacity: int = nodes.DEFAULT_CAPACITY,
) -> Node:
    """Make a node known; host None: this machine. Raises AlreadyExists, BadAddress, BadInput."""
    return nodes.add(
        context.conn,
        name=name,
        kind=kind,
        host=host or context.config.node_name,
        address=address,
        weight=weight,
        capacity=capacity,
    )


def drain(conn: Conn, *, name: str) -> Node:
    """Let a node keep what it carries and take nothing new; raises NotFound."""
    return nodes.change(conn, name=name, draining=True)


def undrain(conn: Conn, *, name: str) -> Node:
    """Let a node take new sessions again; raises NotFound."""
    return nodes.change(conn, name=name, draining=False)


@dataclass(frozen=True, kw_only=True)
class SchemaCheck:
    """How the database stands to this version of the program."""

    state: SchemaState
    differences: Sequence[Difference]


def check_schema(context: Context) -> SchemaCheck:
    """Compare the database with schema.sql, object by object, and tell which migrations it has not seen."""
    # A scratch database is made for it, which no transaction may do.
    with connect_tool(context.config, application_name="ks-api schema check") as conn:
        return SchemaCheck(state=schema.state(conn), differences=schema.differences(conn))


def read_schema(_context: Context) -> str:
    """Return the whole schema (schema.sql)."""
    return schema.read()


def add_token(
    context: Context,
    *,
    tenant_id: int,
    name: str,
    scopes: Annotated[list[Scope], Field(min_length=1)],
    expires_seconds: Seconds | None = None,
) -> NewToken:
    """Make a token with at most the scopes of the own one; its text is told this once."""
    for scope in scopes:
        if not context.principal.may(scope):
            raise Forbidden(f"the own token has no scope {scope}")
    return tokens.add(
        context.conn, tenant_id=tenant_id, name=name, scopes=scopes, expires_seconds=expires_seconds
    )


@dataclass(frozen=True, kw_only=True)
class Session:
    """Who the token says one is."""

    token_id: int
    tenant: str
    name: str
    scopes: Sequence[Scope]
    account: str | None


def show_session(context: Context) -> Session:
    """Tell whose token this is, and what it allows."""
    who = context.principal
    return Session(
        token_id=who.token_id,
        tenant=who.tenant,
        name=who.name,
        scopes=sorted(who.scopes),
        account=who.account,
    )


def make_ticket(context: Context) -> NewToken:
    """Make a ticket for ?ticket= in the address of a stream or WebSocket, where a browser can put no header.

    It is good for a minute; the stream lasts as long as the own token.
    """
    return tokens.make_ticket(context.conn, context.principal)


def end_session(context: Context) -> None:
    """End the token of this request; only for an account that logged in."""
    if context.principal.account is None:
        raise Refused("this is the token of a program: token.revoke ends it")
    tokens.log_out(context.conn, token_id=context.principal.token_id)


METHODS = (
    Method("node.list", nodes.list_nodes, Scope.READ, Tenancy.SYSTEM),
    Method("node.show", nodes.find, Scope.READ, Tenancy.SYSTEM),
    Method("node.add", add_node, Scope.ADMIN, Tenancy.SYSTEM),
    Method("node.set", nodes.change, Scope.ADMIN, Tenancy.SYSTEM, NODE_CHANGES),
    Method("node.drain", drain, Scope.ADMIN, Tenancy.SYSTEM),
    Method("node.undrain", undrain, Scope.ADMIN, Tenancy.SYSTEM),
    Method("node.rm", nodes.remove, Scope.ADMIN, Tenancy.SYSTEM),
    Method("schema.check", check_schema, Scope.READ, Tenancy.SYSTEM),
    Method("schema.read", read_schema, Scope.READ, Tenancy.SYSTEM),
    Method("token.list", tokens.list_tokens, Scope.ADMIN, Tenancy.FILTER),
    Method("token.add", add_token, Scope.ADMIN, Tenancy.OWNER),
    Method("token.revoke", tokens.revoke, Scope.ADMIN, Tenancy.FILTER),
    Method(
        "audit.list",
        audit.list_entries,
        Scope.ADMIN,
        Tenancy.FILTER,
        narrow={"before": Annotated[int, Field(ge=0, le=2**63 - 1)] | None, "limit": Limit},
    ),
    Method("session.show", show_session, Scope.AGENT, Tenancy.ROWS),
    Method("session.ticket", make_ticket, Scope.AGENT, Tenancy.ROWS),
    Method("session.end", end_session, Scope.AGENT, Tenancy.ROWS),
)
