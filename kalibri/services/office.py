"""Virtual offices: from one file accounts, a schedule, prompts, a scenario, a number and mailboxes, all or nothing.

Decides nothing of its own about any of these: each is made by the service that makes it for everybody, and what that
refuses is told with the line of the file. An office that is there is never changed by a second `create`; its parts are
ordinary ones and are changed as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from psycopg.types.json import Jsonb

from callcore.account_service import ForwardCondition
from callcore.errors import AlreadyExists, BadInput, KalibriError, NotFound, Refused
from callcore.inventory import NumberState
from callcore.office import Extension, Office, read, recipients, scenario
from kalibri import db
from kalibri.config import PROJECT_ROOT, Config
from kalibri.db import Conn
from kalibri.ivr_bundle import BadScenario
from kalibri.services import account, account_service, ivr, number, prompt, schedule, voicemail
from kalibri.services.account_service import VOICEMAIL
from kalibri.services.destination import Destination
from kemi.ks_route.model import DestinationKind

SQL = db.statements("office")
#: Scenario of a tenant that has none yet for accounts that forward to their voice mail.
VOICEMAIL_SOURCE = PROJECT_ROOT / "conf" / "ivr" / "voicemail.yaml"
#: What stays when an office goes: others may use it.
STAYS = frozenset({"voice mail scenario"})


class BadOffice(BadInput):
    """The file has mistakes."""

    error_id = "bad-office"


class OfficeRefused(Refused):
    """What the file wants is not to be had."""

    error_id = "office-refused"


@dataclass(frozen=True, kw_only=True)
class Made:
    """One part of an office."""

    #: account, forwarding, prompt, schedule, scenario, number, mailbox …
    kind: str
    name: str
    #: What it is, or what it was before.
    how: str = ""
    #: Of a new account, told this once.
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An office as it is listed."""

    tenant_id: int
    tenant: str
    name: str
    number: str
    #: {kind, name, how}, in the order in which it was made.
    made: Sequence[dict[str, str]]
    made_at: datetime
    made_by: str


# --------------------------------------------------------------------------------------------------- look


def list_offices(conn: Conn, *, tenant_id: int | None) -> list[Stored]:
    """Return the offices of a tenant; None: of all."""
    return db.fetch_all(conn, Stored, SQL["list"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> Stored:
    """Return an office with what was made for it; raises NotFound."""
    found = db.fetch_one(conn, Stored, SQL["list"], tenant_id=tenant_id, name=name)
    return db.require(found, "office", name)


# --------------------------------------------------------------------------------------------------- make


def create(
    conn: Conn,
    config: Config,
    *,
    tenant_id: int,
    source: str,
    file: str = "office.yaml",
    by: str = "",
    dry_run: bool = False,
) -> list[Made]:
    """Make what a file describes, all of it or nothing; return what was made, in order.

    file: its name, for messages. dry_run: everything is tried, and nothing stays. Raises BadOffice naming every mistake
    with its line, OfficeRefused naming the line of what is not to be had, AlreadyExists for an office of this name.
    """
    office, problems = read(source)
    if office is None or problems:
        told = [problem.text(file) for problem in problems]
        details = [{"line": one.line, "message": one.message} for one in problems]
        raise BadOffice(f"{len(told)} mistakes, nothing was made\n  " + "\n  ".join(told), problems=details)
    maker = _Maker(conn, config, tenant_id, office, file, by)
    with conn.transaction(force_rollback=dry_run):
        maker.make()
    if dry_run:
        return [replace(part, password="") for part in maker.made]  # they would open nothing
    if maker.speaks:
        prompt.synchronise(conn, config)
    return maker.made


class _Maker:
    """Makes one office within the transaction of `create`."""

    def __init__(
        self, conn: Conn, config: Config, tenant_id: int, office: Office, file: str, by: str
    ) -> None:
        self._conn, self._config, self._tenant_id = conn, config, tenant_id
        self._office, self._file, self._by = office, file, by
        self.made: list[Made] = []

    @property
    def speaks(self) -> bool:
        """Whether there are new prompts to be compiled."""
        return any(one.text for one in self._office.speeches)

    def make(self) -> None:
        """Make all of it; raises OfficeRefused, AlreadyExists."""
        office, lines = self._office, self._office.lines
        if any(one.name == office.name for one in list_offices(self._conn, tenant_id=self._tenant_id)):
            raise AlreadyExists(
                f'{self._file}:{lines["name"]}: office "{office.name}" is there already, and was not changed:'
                f" ksctl office show {office.name}, or rm it first"
            )
        number_before = self._number_before()
        for one in office.extensions:
            with self._line(one.line):
                self._account(one)
        for speech in office.speeches:
            if speech.text:
                with self._line(speech.line):
                    self._prompt(speech.prompt, speech.text)
        if office.hours:
            with self._line(lines["hours"]):
                self._schedule()
        self._scenarios()
        for one in office.extensions:
            with self._line(one.line):
                self._forwards(one)
        for mailbox, (addresses, line) in recipients(office).items():
            with self._line(line):
                self._mailbox(mailbox, addresses)
        with self._line(lines["number"]):
            self._number(number_before)
        kept = [{"kind": one.kind, "name": one.name, "how": one.how} for one in self.made]
        given = {"tenant_id": self._tenant_id, "name": office.name, "number": office.number}
        db.execute(self._conn, SQL["add"], **given, made=Jsonb(kept), by=self._by)

    @contextmanager
    def _line(self, line: int) -> Iterator[None]:
        """Tell with the line of the file what a service refuses."""
        try:
            yield
        except (BadInput, NotFound, Refused) as error:
            told = f"{self._file}:{line}: {error.message}"
            raise OfficeRefused(told, line=line, cause=error.error_id) from error

    def _note(self, kind: str, name: str, how: str = "", password: str = "") -> None:
        self.made.append(Made(kind=kind, name=name, how=how, password=password))

    def _account(self, one: Extension) -> None:
        own: dict[str, Any] = {"tenant_id": self._tenant_id, "username": one.name}
        if one.exists:
            account.find(self._conn, **own)
            return
        password = one.password or account.generate_password()
        account.add(
            self._conn,
            **own,
            password=password,
            display_name=one.display_name,
            caller_number=self._office.number,
        )
        self._note("account", one.name, one.display_name, "" if one.password else password)

    def _prompt(self, name: str, text: str) -> None:
        language = self._office.language
        given: dict[str, Any] = {"tenant_id": self._tenant_id, "name": name, "language": language}
        prompt.store(self._conn, self._config, **given, text=text, by=self._by)
        self._note("prompt", name, f"{language}: {text[:60]}")

    def _schedule(self) -> None:
        office = self._office
        schedule.add(
            self._conn,
            tenant_id=self._tenant_id,
            name=office.name,
            hours=office.hours,
            time_zone=office.time_zone or None,
            holidays=office.holidays,
        )
        self._note("schedule", office.name, office.hours)

    def _scenarios(self) -> None:
        known = {one.name for one in ivr.list_scenarios(self._conn, tenant_id=self._tenant_id)}
        with self._line(self._office.lines["name"]):
            if self._office.name in known:
                raise AlreadyExists(f'the tenant has a scenario "{self._office.name}" already')
            if VOICEMAIL not in known:
                source = VOICEMAIL_SOURCE.read_text(encoding="utf-8")
                source = source.replace("language: ru\n", f"language: {self._office.language}\n")
                self._scenario(VOICEMAIL, source)
                self._note("voice mail scenario", VOICEMAIL, "for all accounts of the tenant")
        try:
            self._scenario(self._office.name, scenario(self._office))
        except BadScenario as error:
            raise self._misled(error) from error
        self._note("scenario", self._office.name)

    def _misled(self, error: BadScenario) -> OfficeRefused:
        """Say of a mistake in the scenario which line of the file made it: a prompt or a queue that is not there."""
        told = [one["message"] for one in error.details["problems"]]  # type: ignore[attr-defined]
        lines = {speech.prompt: speech.line for speech in self._office.speeches}
        found = next((lines[name] for name in lines if f'"{name}"' in told[0]), self._office.lines["menu"])
        return OfficeRefused(f"{self._file}:{found}: {told[0]}", line=found, cause=error.error_id)

    def _scenario(self, name: str, source: str) -> None:
        ivr.add(self._conn, self._config, tenant_id=self._tenant_id, name=name, source=source, by=self._by)

    def _forwards(self, one: Extension) -> None:
        """A colleague who calls directly reaches the mailbox too; what an account that exists has set stays."""
        if one.exists:
            return
        own: dict[str, Any] = {"tenant_id": self._tenant_id, "username": one.name, "to": VOICEMAIL}
        for condition in (ForwardCondition.BUSY, ForwardCondition.UNREACHABLE):
            account_service.forward(self._conn, **own, condition=condition)
        account_service.forward(
            self._conn, **own, condition=ForwardCondition.NO_ANSWER, seconds=one.ring_seconds
        )
        self._note(
            "forwarding", one.name, f"busy, unreachable, no answer after {one.ring_seconds} s: voicemail"
        )

    def _mailbox(self, mailbox: str, addresses: Sequence[str]) -> None:
        known = {one.mailbox: one for one in voicemail.list_mailboxes(self._conn, tenant_id=self._tenant_id)}
        if mailbox in known and known[mailbox].recipients:
            raise AlreadyExists(f'mailbox "{mailbox}" has addresses already')
        voicemail.set_mailbox(self._conn, tenant_id=self._tenant_id, mailbox=mailbox, recipients=addresses)
        self._note("mailbox", mailbox, ", ".join(addresses))

    def _number_before(self) -> NumberState | None:
        """Return what the number is now, None: not in the inventory; raises OfficeRefused for one in use."""
        line, wanted = self._office.lines["number"], self._office.number
        found = number.find_or_none(self._conn, number=wanted)
        if found is None:
            return None
        with self._line(line):
            if found.tenant_id not in (None, self._tenant_id):
                raise Refused(f"{wanted} belongs to somebody else")
            if found.destination_kind is not None:
                raise Refused(f"{wanted} leads to {found.destination_kind}:{found.destination} already")
        return found.state

    def _number(self, before: NumberState | None) -> None:
        wanted = [self._office.number]
        if before is None:
            number.add(self._conn, numbers=wanted)
        target = Destination(DestinationKind.IVR, self._office.name)
        number.assign(self._conn, numbers=wanted, tenant_id=self._tenant_id, destination=target)
        self._note("number", self._office.number, before or "added")


# ------------------------------------------------------------------------------------------------- remove


def remove(conn: Conn, config: Config, *, tenant_id: int, name: str) -> list[Made]:
    """Take away what was made for an office, all of it or nothing; return what went.

    What was removed meanwhile is passed over. Recordings stay, and the voice mail scenario of the tenant. Raises
    NotFound, StillInUse while something else leads to a part of it.
    """
    with conn.transaction():
        stored = find(conn, tenant_id=tenant_id, name=name)
        parts = [Made(**part) for part in reversed(stored.made)]
        gone = [part for part in parts if part.kind not in STAYS and _remove_part(conn, tenant_id, part)]
        db.execute(conn, SQL["remove"], tenant_id=tenant_id, name=name)
    if any(part.kind == "prompt" for part in gone):
        prompt.synchronise(conn, config)
    return gone


def _remove_part(conn: Conn, tenant_id: int, part: Made) -> bool:
    """Remove one part; False if it was gone already, or goes with another one."""
    try:
        with conn.transaction():
            _REMOVE[part.kind](conn, tenant_id, part)
    except NotFound:
        return False
    except KalibriError as error:
        error.message = f"{part.kind} {part.name}: {error.message}"
        error.args = (error.message,)
        raise
    return True


def _remove_number(conn: Conn, tenant_id: int, part: Made) -> None:
    found = number.find(conn, number=part.name)
    if found.tenant_id != tenant_id:
        raise NotFound(f"{part.name} is somebody else's now")
    if part.how in (NumberState.RESERVED, NumberState.ASSIGNED):
        number.assign(conn, numbers=[part.name], tenant_id=tenant_id)  # it stays theirs, and leads nowhere
        return
    number.free(conn, numbers=[part.name])
    if part.how == "added":
        number.remove(conn, numbers=[part.name])


def _named(remove_one: Callable[..., Any], key: str, conn: Conn, tenant_id: int, part: Made) -> None:
    remove_one(conn, tenant_id=tenant_id, **{key: part.name})


def _end_forwards(conn: Conn, tenant_id: int, part: Made) -> None:
    account_service.unforward(conn, tenant_id=tenant_id, username=part.name)


_REMOVE: dict[str, Callable[[Conn, int, Made], None]] = {
    "account": partial(_named, account.remove, "username"),
    "forwarding": _end_forwards,
    "mailbox": partial(_named, voicemail.drop_mailbox, "mailbox"),
    "number": _remove_number,
    "prompt": partial(_named, prompt.drop, "name"),
    "scenario": partial(_named, ivr.remove, "name"),
    "schedule": partial(_named, schedule.remove, "name"),
}
