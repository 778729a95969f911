"""A tenant with queues and agents, and the functions of call distribution as tests call them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from kalibri.db import Conn
from tests.support.rows import add_account, add_tenant

HOST = "here-media-1"
OTHER_HOST = "there-media-1"
PROXY = "here-proxy"


@dataclass(frozen=True)
class Action:
    """One row of acd_action."""

    id: int | None
    tenant_id: int
    kind: str
    entry_id: int | None
    offer_id: int | None
    data: dict[str, Any] = field(default_factory=dict)


class Field:
    """One tenant's call distribution on a test database; `conn` is in autocommit mode."""

    def __init__(self, conn: Conn, name: str = "acme", *, tenant: int | None = None) -> None:
        """tenant: one that is there; None: a new one of this name."""
        self.conn = conn
        self.tenant = add_tenant(conn, name) if tenant is None else tenant

    # ---- set-up

    def queue(self, name: str = "sales", members: tuple[int, ...] = (), **columns: Any) -> int:
        """Make a queue; wrap-up is 0 unless given."""
        values = {"wrapup_seconds": 0, "name": name, **columns}
        queue = self.value(
            "INSERT INTO queue (tenant_id, name) VALUES (%s, %s) RETURNING queue_id", self.tenant, name
        )
        self.change(queue, **values)
        for agent in members:
            self.member(queue, agent)
        return int(queue)

    def change(self, queue: int, **columns: Any) -> None:
        """Change columns of a queue, as the service does."""
        for column, value in columns.items():
            wrapped = Jsonb(value) if isinstance(value, dict) else value
            self.conn.execute(
                f"UPDATE queue SET {column} = %s WHERE queue_id = %s",
                [wrapped, queue],
            )
        self.changed(queue)

    def changed(self, queue: int) -> None:
        """Tell that the configuration of a queue changed."""
        self.conn.execute("SELECT acd_queue_changed(%s, %s)", [self.tenant, queue])

    def agent(self, name: str, *queues: int, login: bool = True, number: str | None = "100") -> int:
        """Make an agent with an external number (None: with an account of his name) in these queues."""
        account = None if number else add_account(self.conn, self.tenant, name)
        agent = self.value(
            "INSERT INTO agent (tenant_id, name, number, account_id) VALUES (%s, %s, %s, %s) RETURNING agent_id",
            self.tenant,
            name,
            number,
            account,
        )
        for queue in queues:
            self.member(queue, agent)
        if login:
            self.call("acd_login", agent)
        return int(agent)

    def member(self, queue: int, agent: int, *, tier: int = 1, penalty: int = 0, position: int = 0) -> None:
        """Put an agent into a queue."""
        self.conn.execute(
            "INSERT INTO queue_member (tenant_id, queue_id, agent_id, tier, penalty, position)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [self.tenant, queue, agent, tier, penalty, position],
        )
        self.changed(queue)

    def host(self, name: str = HOST, *, load: float = 0.1) -> None:
        """Make a media host that has just given a sign of life."""
        self.conn.execute(
            "INSERT INTO node (name, kind, host, address) VALUES (%s, 'media', 'here', 'udp:127.0.0.1:5090')"
            " ON CONFLICT (name) DO NOTHING",
            [name],
        )
        self.report(name, [], load=load)

    def report(self, name: str, entries: list[int], **data: Any) -> list[Action]:
        """Send the heartbeat of a media host."""
        statement = "SELECT * FROM acd_report(%s, %s, %s, %s)"
        boot = uuid.uuid5(uuid.NAMESPACE_DNS, name)
        return self._actions(statement, [name, boot, entries, Jsonb(data)])

    # ---- calls

    def enter(
        self,
        queue: int,
        caller: str = "",
        *,
        holder: str = HOST,
        anchored: bool = True,
        call: uuid.UUID | None = None,
        **options: Any,
    ) -> Action:
        """A call comes; return the one action."""
        [action] = self.acts(
            "acd_enter", queue, call or uuid.uuid4(), holder, anchored, caller, Jsonb(options)
        )
        return action

    def acts(self, function: LiteralString, *arguments: Any) -> list[Action]:
        """Call a function of the tenant that returns actions."""
        marks = ", ".join(["%s"] * (1 + len(arguments)))
        return self._actions(f"SELECT * FROM {function}({marks})", [self.tenant, *arguments])

    def call(self, function: LiteralString, *arguments: Any) -> Any:
        """Call a function of the tenant that returns one value."""
        marks = ", ".join(["%s"] * (1 + len(arguments)))
        return self.value(f"SELECT {function}({marks})", self.tenant, *arguments)

    def take(self, holder: str = HOST) -> list[Action]:
        """Take the commands of a host."""
        return self._actions("SELECT * FROM acd_take(%s)", [holder])

    def tick(self) -> int:
        """Do what is due now."""
        return int(self.call("acd_tick"))

    def answer(self, offer: int | None, **kwargs: Any) -> list[Action]:
        """An agent answers."""
        return self.acts("acd_answer", offer, Jsonb(kwargs.get("legs", [])), kwargs.get("joined", True))

    def outcome(self, offer: int | None, outcome: str, code: int | None = None) -> list[Action]:
        """An agent does not take the call."""
        return self.acts("acd_outcome", offer, outcome, code, "")

    # ---- looking

    def state(self, agent: int) -> str:
        """Return the state of an agent."""
        return str(self.value("SELECT state FROM agent_live WHERE agent_id = %s", agent))

    def entry(self, entry: int | None) -> dict[str, Any]:
        """Return the row of an entry."""
        return self.row("SELECT * FROM queue_entry WHERE entry_id = %s", entry)

    def offer(self, offer: int | None) -> dict[str, Any]:
        """Return the row of an offer."""
        return self.row("SELECT * FROM offer WHERE offer_id = %s", offer)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of the events of a kind, in order."""
        rows = self.conn.execute("SELECT data FROM acd_event WHERE kind = %s ORDER BY seq", [kind]).fetchall()
        return [data for (data,) in rows]

    def past(self, table: LiteralString, column: LiteralString, key: int | None, seconds: float) -> None:
        """Move a time of a row into the past, as if so long had gone by."""
        keys = {"offer": "offer_id", "queue_entry": "entry_id", "agent_live": "agent_id"}
        self.conn.execute(
            f"UPDATE {table} SET {column} = {column} - make_interval(secs => %s) WHERE {keys[table]} = %s",
            [seconds, key],
        )

    def row(self, statement: LiteralString, *params: Any) -> dict[str, Any]:
        """Return the one row of a query."""
        with self.conn.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(statement, params).fetchone()
        assert found is not None
        return found

    def value(self, statement: str, *params: Any) -> Any:
        """Return the first column of the first row."""
        row = self.conn.execute(statement, params).fetchone()
        assert row is not None
        return row[0]

    def _actions(self, statement: str, params: list[Any]) -> list[Action]:
        rows = self.conn.execute(statement, params).fetchall()
        return [Action(*row) for row in rows]
