"""What watchers of a line are told beside its calls: what its agent does, what waits in its mailbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kalibri import db
from kalibri.db import Conn

SQL = db.statements("presence")


@dataclass(frozen=True, kw_only=True)
class AgentOnLine:
    """The state of the agent whose phone an account is."""

    tenant_id: int
    username: str
    #: A word of callcore.agent.AgentState.
    state: str


def of_accounts(conn: Conn, *, accounts: Sequence[tuple[int, str]]) -> list[AgentOnLine]:
    """Return the states of the agents among these accounts (tenant id, user name)."""
    tenant_ids = [tenant_id for tenant_id, _ in accounts]
    usernames = [username for _, username in accounts]
    return db.fetch_all(conn, AgentOnLine, SQL["agents_on_lines"], tenant_ids=tenant_ids, usernames=usernames)


@dataclass(frozen=True, kw_only=True)
class MessagesWaiting:
    """How much voice mail an account has."""

    tenant_id: int
    username: str
    new_count: int
    #: Heard and not removed.
    old_count: int


def messages_waiting(conn: Conn, *, accounts: Sequence[tuple[int, str]]) -> list[MessagesWaiting]:
    """Return what waits for these accounts (tenant id, user name); those that do not exist are missing."""
    tenant_ids = [tenant_id for tenant_id, _ in accounts]
    usernames = [username for _, username in accounts]
    statement = SQL["messages_waiting"]
    return db.fetch_all(conn, MessagesWaiting, statement, tenant_ids=tenant_ids, usernames=usernames)
