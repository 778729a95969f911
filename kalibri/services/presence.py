"""What agents do, for those who watch their lines."""

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
