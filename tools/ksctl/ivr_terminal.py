"""A scenario in the terminal: no telephony, typed keys, a given clock; prints what would be heard.

Time passes as prompts would take it and as silence would last, never for real. Look-ups at web servers are answered by
what the command line says, or really asked (--live); tables, queues and regions are those of the database.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import click

from callcore import ivr_events as ev
from callcore.errors import KalibriError
from callcore.ivr_condition import QueueState
from callcore.ivr_model import Http
from callcore.ivr_run import Run, Stage
from kalibri import db
from kalibri.db import Conn
from kalibri.ivr_bundle import Loaded
from kalibri.ivr_fetch import Fetcher

SQL = db.statements("ivr")
#: What a prompt whose length is not known takes.
PROMPT_SECONDS = 2.0
SILENCE = "-"
HANG_UP = "!"


class Terminal:
    """One call, typed."""

    def __init__(
        self,
        conn: Conn,
        loaded: Loaded,
        *,
        tenant_id: int,
        name: str,
        given: Mapping[str, str],
        at: datetime,
        keys: str | None,
        answers: Mapping[str, Any],
        live: bool,
        echo: Callable[[str], None] = click.echo,
    ) -> None:
        """keys: typed by the caller ("-" silence, "!" hangs up); None: asked for. answers: node → JSON, None: fails."""
        self._conn, self._loaded, self._tenant = conn, loaded, tenant_id
        self._run, self.now = Run(loaded.bundle, name, given), at
        self._keys, self._types = keys or "", keys is None
        self._answers, self._live, self._echo = answers, live, echo
        self._saying: ev.Say | None = None
        self._timer: ev.SetTimer | None = None
        self._asked: Any = None

    def call(self) -> None:
        """Go through the scenario until it ends."""
        self._feed(ev.Begun())
        while not self._run.ended:
            self._feed(self._what_follows())

    def _feed(self, event: ev.Event) -> None:
        for action in self._run.step(event, self.now):
            self._take(action)

    def _take(self, action: ev.Action) -> None:
        match action:
            case ev.Say():
                self._saying = action
                self._say(f"♪ {' '.join(action.prompts) or '(nothing)'}")
            case ev.BeQuiet():
                self._saying = None
            case ev.SetTimer():
                self._timer = action
            case ev.ClearTimer():
                self._timer = None
            case ev.Tell():
                self._tell(action)
            case ev.End():
                self._say(f"■ the call ends: {action.cause}" + (f" ({action.code})" if action.code else ""))
            case ev.AskHttp() | ev.AskRow() | ev.AskFacts() | ev.AskCallback():
                self._asked = action
            case ev.EnterQueue():
                self._say(f"… waits in the queue {action.queue}")
            case ev.EnterMailbox():
                self._say(f"… listens to the mailbox {action.mailbox}")
            case ev.DialOut():
                self._say(f"… calls {action.kind} {action.to}")
            case ev.StartMessage():
                self._say("● records a message")
            case _:
                self._say(f"… {type(action).__name__}")

    def _tell(self, action: ev.Tell) -> None:
        if action.kind == "ivr.node":
            way = f" (by {action.data['by']})" if action.data.get("by") else ""
            self._say(f"— {action.data['scenario']}/{action.data['node']}: {action.data['what']}{way}")
        elif action.kind in ("ivr.failure", "ivr.unsaid"):
            self._say(f"  {action.kind.partition('.')[2]}: {action.data['why']}")

    def _say(self, text: str) -> None:
        self._echo(f"{self.now:%H:%M:%S} {text}")

    # ---- what happens next

    def _what_follows(self) -> ev.Event:
        if self._asked is not None:
            asked, self._asked = self._asked, None
            return self._answer(asked)
        stage = self._run.stage
        if stage is Stage.QUEUED:
            return ev.QueueLeft(self._yes("an agent talked with the caller"), "left the queue")
        if stage is Stage.LISTENING:
            return ev.MailboxLeft("" if self._yes("the PIN was right") else "wrong PIN")
        if stage is Stage.DIALLING:
            return ev.Reached() if self._yes("answered") else ev.NotReached(480)
        if stage is Stage.TALKING:
            return ev.OtherLeft()
        if stage in (Stage.MENU, Stage.COLLECT, Stage.CONFIRM, Stage.RECORDING):
            return self._key()
        if self._saying is not None:
            return self._said()
        return self._silence()

    def _said(self) -> ev.Event:
        assert self._saying is not None
        saying, self._saying = self._saying, None
        self.now += timedelta(seconds=PROMPT_SECONDS * len(saying.prompts))
        return ev.Said(saying.token)

    def _key(self) -> ev.Event:
        """Take the next key; what is said before it is heard to its end, silence lasts until the timer."""
        if self._saying is not None:
            return self._said()
        if not self._keys and self._types:
            typed: str = click.prompt("keys (empty: silence, !: hang up)", default="", show_default=False)
            self._keys = typed
        key, self._keys = self._keys[:1] or SILENCE, self._keys[1:]
        if key == HANG_UP:
            return ev.CallerLeft()
        if key == SILENCE:
            return self._silence()
        self._say(f"⌨ {key}")
        self.now += timedelta(seconds=0.3)
        return ev.Key(key)

    def _silence(self) -> ev.Event:
        if self._timer is None:
            return ev.CallerLeft()
        timer, self._timer = self._timer, None
        self.now += timedelta(seconds=timer.seconds)
        return ev.TimeUp(timer.token)

    def _yes(self, what: str) -> bool:
        return click.confirm(f"{what}?", default=True) if self._types else True

    # ---- questions

    def _answer(self, asked: Any) -> ev.Event:
        match asked:
            case ev.AskHttp():
                return self._http(asked)
            case ev.AskRow():
                row = self._value("row", table=asked.table, key=asked.key)
                self._say(f"? table {asked.table}, key {asked.key}: {row}")
                return ev.Answered(asked.token, row, "no such row")
            case ev.AskFacts():
                facts = self._value(
                    "facts", queues=json.dumps(asked.queues), numbers=json.dumps(asked.numbers)
                )
                return ev.Answered(asked.token, known(facts))
        self._say(f"? callback of {asked.number} by {asked.queue}: taken")
        return ev.Answered(asked.token, True)

    def _value(self, statement: str, **params: object) -> Any:
        return db.fetch_value(self._conn, SQL[statement], tenant_id=self._tenant, **params)

    def _http(self, asked: ev.AskHttp) -> ev.Event:
        node = self._run.node
        assert isinstance(node, Http)
        self._say(f"? {asked.request.method} {asked.request.url}")
        if node.name in self._answers:
            return ev.Answered(asked.token, self._answers[node.name], "as given on the command line")
        if not self._live:
            return ev.Answered(asked.token, None, f"not asked: --live, or --answer {node.name}=JSON")
        try:
            return ev.Answered(
                asked.token, Fetcher().fetch(self._tenant, asked.request, self._loaded.allowed)
            )
        except KalibriError as error:
            return ev.Answered(asked.token, None, error.message)


def known(facts: Mapping[str, Any]) -> ev.Known:
    """Read what ivr_facts returned."""
    queues = {
        name: None
        if row is None
        else QueueState(
            row["waiting"], row["free_agents"], row["logged_in_agents"], row["is_open"], row["wait_seconds"]
        )
        for name, row in facts["queues"].items()
    }
    return ev.Known(queues, facts["regions"])
