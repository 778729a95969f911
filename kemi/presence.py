"""Watching a colleague's line, or the own mailbox: SUBSCRIBE for dialog, presence and message-summary (RFC 6665, 4235,
3856, 3842), and NOTIFY. Shell.

Subscriptions live in shared memory, at most ten minutes without a refresh; one that a restart forgot is answered 481
and made anew by the phone. Which calls a line is in: kemi/lines.py. Nobody is told of messages who has not
subscribed: a phone that takes a NOTIFY without a subscription takes it from anybody, and others answer 481 to it.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, fields
from urllib.parse import quote, unquote

from callcore.errors import KalibriError
from callcore.presence import dialog_info, message_summary, pidf
from callcore.sip import SipCode
from callcore.star_code import StarAction, read
from kalibri.services import presence as line_facts
from kemi import line_state
from kemi.admission import identify
from kemi.line_state import LINES
from kemi.sip_request import SipRequest
from kemi.tenancy import aor, tenant_by_id, tenant_of_domain
from kemi.worker import Worker

#: Event package → media type of its documents.
PACKAGES = {
    "dialog": "application/dialog-info+xml",
    "presence": "application/pidf+xml",
    "message-summary": "application/simple-message-summary",
}
MESSAGES = "message-summary"
LONGEST_SECONDS, SHORTEST_SECONDS = 600, 60
#: Of one line.
MOST_WATCHERS = 100
_TABLE = "watch"
_INTERVAL_TOO_BRIEF = 423
#: Lists of what the database is asked about once a second: presence shows agents' states, message-summary mailboxes.
_SECTIONS = {"presence": "agents", MESSAGES: "mailboxes"}
#: Key of the table: park slots that are watched.
_SLOTS = "slots"


@dataclass(slots=True)
class Subscription:
    """Our side of the dialog with a watcher."""

    tenant_id: int
    watched: str
    package: str
    #: URI in From of the watcher, and the tags of both.
    watcher: str
    watcher_tag: str
    tag: str
    contact: str
    next_hop: str
    socket: str
    expires_at: float
    cseq: int = 0
    #: The park slot that is watched; 0: an account.
    slot: int = 0


_FIELDS = tuple(entry.name for entry in fields(Subscription))


def _key(tenant_id: int, username: str, package: str = "") -> str:
    """Return under which key the watchers of a line are listed; those of its mailbox are told of nothing else."""
    return f"{'v' if package == MESSAGES else 'w'}:{tenant_id}:{username}"


def _mailbox_key(tenant_id: int, username: str) -> str:
    return f"m:{tenant_id}:{username}"


# ------------------------------------------------------------------------------------------------ subscribing


def subscribe(worker: Worker, sip: SipRequest) -> None:
    """Serve a SUBSCRIBE that opens a dialog."""
    port = worker.port
    package = (port.header("Event") or "").partition(";")[0].strip().lower()
    if package not in PACKAGES:
        port.append_reply_header(f"Allow-Events: {', '.join(PACKAGES)}")
        port.reply(SipCode.BAD_EVENT, "Bad Event")
        return
    sender = identify(worker, sip)
    if sender is None:
        return
    if sender.account is None or sender.tenant is None:
        port.reply(SipCode.FORBIDDEN, "Lines Are Watched By Accounts")
        return
    tenant = sender.tenant
    watched, slot = _line_of(worker, tenant.tenant_id, sip.ruri_user, package)
    if not watched or tenant_of_domain(worker.directory.system, sip.ruri_host) != tenant:
        port.reply(SipCode.NOT_FOUND, "Not Found")
        return
    if package == MESSAGES and watched != sender.account.username:
        port.reply(SipCode.FORBIDDEN, "Mailbox Of Somebody Else")
        return
    if len(_watchers(worker, _key(tenant.tenant_id, watched, package))) >= MOST_WATCHERS:
        port.reply(SipCode.FORBIDDEN, "Too Many Watchers")
        return
    seconds = _wanted_seconds(worker)
    contact = port.text("$(ct{nameaddr.uri})")
    if seconds is None or not contact:
        return
    made = Subscription(
        tenant.tenant_id,
        watched,
        package,
        f"sip:{sip.from_user}@{sip.from_host}",
        sip.from_tag,
        secrets.token_hex(8),
        contact,
        f"sip:{sip.source};transport={sip.transport}",
        _socket(worker, sip.transport),
        time.time() + seconds,
        slot=slot,
    )
    if package == MESSAGES:  # nobody may have followed it since it was last known
        port.table_remove(LINES, _mailbox_key(made.tenant_id, made.watched))
    port.tag_recipient(made.tag)
    port.new_transaction()
    _accept(worker, seconds)
    _store(worker, sip.sip_call_id, made)
    worker.later.append(lambda: _notify(worker, sip.sip_call_id))


def _line_of(worker: Worker, tenant_id: int, user: str, package: str) -> tuple[str, int]:
    """Return the name of what is watched, "" if there is no such line, and the park slot that it is, 0 if none."""
    account = worker.directory.account(tenant_id, user)
    if account is not None:
        return account.username, 0
    tenant = worker.directory.system.tenants.get(tenant_id)
    dialled = read(unquote(user), tenant.codes) if tenant is not None and package == "dialog" else None
    if dialled is None or dialled.action is not StarAction.UNPARK:
        return "", 0
    return user, int(dialled.argument)


def refresh(worker: Worker, sip: SipRequest) -> bool:
    """Serve a SUBSCRIBE within a dialog of ours; False if it is none."""
    found = _load(worker, sip.sip_call_id)
    if found is None or (found.tag, found.watcher_tag) != (sip.to_tag, sip.from_tag):
        return False
    seconds = _wanted_seconds(worker)
    if seconds is None:
        return True
    found.expires_at = time.time() + seconds
    found.contact = worker.port.text("$(ct{nameaddr.uri})") or found.contact
    found.next_hop = f"sip:{sip.source};transport={sip.transport}"
    worker.port.new_transaction()
    _accept(worker, seconds)
    with worker.port.locked(sip.sip_call_id):
        now = _load(worker, sip.sip_call_id)
        found.cseq = now.cseq if now is not None else found.cseq
        _save(worker, sip.sip_call_id, found)
    _list(worker, sip.sip_call_id, found)
    worker.later.append(lambda: _notify(worker, sip.sip_call_id))
    return True


def _wanted_seconds(worker: Worker) -> int | None:
    """Return how long a subscription is to last, 0: it ends; None: it was refused."""
    text = (worker.port.header("Expires") or str(LONGEST_SECONDS)).strip()
    seconds = min(int(text), LONGEST_SECONDS) if text.isdecimal() and len(text) < 10 else LONGEST_SECONDS
    if 0 < seconds < SHORTEST_SECONDS:
        worker.port.append_reply_header(f"Min-Expires: {SHORTEST_SECONDS}")
        worker.port.reply(_INTERVAL_TOO_BRIEF, "Interval Too Brief")
        return None
    return seconds


def _accept(worker: Worker, seconds: int) -> None:
    port, own = worker.port, worker.config.proxy
    port.append_reply_header(f"Expires: {seconds}")
    port.append_reply_header(f"Contact: <sip:watch@{own.listen_address}:{own.sip_port}>")
    port.reply(SipCode.OK, "OK")


def _socket(worker: Worker, transport: str) -> str:
    own = worker.config.proxy
    port = own.tls_port if transport == "tls" else own.sip_port
    return f"{transport}:{own.listen_address}:{port}"


def _store(worker: Worker, call_id: str, made: Subscription) -> None:
    """Keep a new subscription, and list it with the line."""
    _save(worker, call_id, made)
    _list(worker, call_id, made)


def _list(worker: Worker, call_id: str, made: Subscription) -> None:
    """List a subscription with its line; written anew at each refresh, since entries that nobody writes expire."""
    port, key = worker.port, _key(made.tenant_id, made.watched, made.package)
    with port.locked(key):
        others = [known for known in _watchers(worker, key) if known != call_id]
        port.table_set(_TABLE, key, json.dumps([*others, call_id]))
        if made.package != MESSAGES:
            line_state.follow(worker, made.tenant_id, made.watched)
    section = _SECTIONS.get(made.package)
    if section is not None:
        line = [made.tenant_id, made.watched]
        with port.locked(section):
            known = json.loads(port.table_text(_TABLE, section) or "[]")
            port.table_set(_TABLE, section, json.dumps([*(each for each in known if each != line), line]))
    if made.slot:
        place = [made.tenant_id, made.watched, made.slot]
        with port.locked(_SLOTS):
            places = json.loads(port.table_text(_TABLE, _SLOTS) or "[]")
            port.table_set(_TABLE, _SLOTS, json.dumps([*(each for each in places if each != place), place]))


def _watchers(worker: Worker, key: str) -> list[str]:
    """Return the subscriptions to a line that still live."""
    known: list[str] = json.loads(worker.port.table_text(_TABLE, key) or "[]")
    return [call_id for call_id in known if worker.port.table_text(_TABLE, f"s:{call_id}") is not None]


def is_watched(worker: Worker, tenant_id: int, username: str) -> bool:
    """Tell whether phones watch a line at this proxy, or did some minutes ago."""
    return worker.port.table_text(_TABLE, _key(tenant_id, username)) is not None


def drop_unwatched(worker: Worker, tenant_id: int, username: str) -> None:
    """Cease to follow a line, unless somebody has begun to watch it just now."""
    key = _key(tenant_id, username)
    with worker.port.locked(key):
        unwatched = worker.port.table_text(_TABLE, key) is None
        if unwatched:
            worker.port.table_remove(line_state.FOLLOW, line_state.key_of(tenant_id, username))
    if unwatched:
        line_state.forget(worker, tenant_id, username)


def _load(worker: Worker, call_id: str) -> Subscription | None:
    text = worker.port.table_text(_TABLE, f"s:{call_id}")
    return None if text is None else Subscription(*json.loads(text))


def _save(worker: Worker, call_id: str, kept: Subscription) -> None:
    values = [getattr(kept, name) for name in _FIELDS]
    worker.port.table_set(_TABLE, f"s:{call_id}", json.dumps(values))


# ------------------------------------------------------------------------------------------------- telling


def _notify(worker: Worker, call_id: str) -> None:
    """Send a watcher the whole state of his line; the last time when his subscription is over."""
    port = worker.port
    with port.locked(call_id):
        found = _load(worker, call_id)
        if found is None:
            return
        found.cseq += 1
        left = int(found.expires_at - time.time())
        if left > 0:
            _save(worker, call_id, found)
        else:
            port.table_remove(_TABLE, f"s:{call_id}")
    own = worker.config.proxy
    state = f"active;expires={left}" if left > 0 else "terminated;reason=timeout"
    entity = _entity(worker, found)
    headers = [
        f"From: <{entity}>;tag={found.tag}",
        f"To: <{found.watcher}>;tag={found.watcher_tag}",
        f"Call-ID: {call_id}",
        f"CSeq: {found.cseq} NOTIFY",
        "Max-Forwards: 70",
        f"Contact: <sip:watch@{own.listen_address}:{own.sip_port}>",
        f"Event: {found.package}",
        f"Subscription-State: {state}",
    ]
    body = _document(worker, found, entity)
    if body:
        headers.append(f"Content-Type: {PACKAGES[found.package]}")
    port.send_in_dialog("NOTIFY", found.contact, found.next_hop, found.socket, headers, body)


def _entity(worker: Worker, found: Subscription) -> str:
    tenant = tenant_by_id(worker.directory.system, found.tenant_id)
    return aor(found.watched, tenant.realm if tenant is not None else "")


def _document(worker: Worker, found: Subscription, entity: str) -> str:
    shown = line_state.shown(worker, found.tenant_id, found.watched)
    if found.package == "dialog":
        return dialog_info(entity, shown, version=found.cseq - 1, host=entity.partition("@")[2])
    if found.package == MESSAGES:
        return _summary(worker, found, entity)
    agent = worker.port.table_text(LINES, f"a:{found.tenant_id}:{found.watched}") or ""
    registered = worker.port.is_registered(entity) or line_state.is_elsewhere(
        worker, found.tenant_id, found.watched
    )
    return pidf(entity, registered=registered, talks=bool(shown), agent=agent)


def _summary(worker: Worker, found: Subscription, entity: str) -> str:
    """Return what waits in a mailbox; "" while that is not known (RFC 6665 section 4.2.1.2): lamps stay as they are."""
    key = _mailbox_key(found.tenant_id, found.watched)
    text = worker.port.table_text(LINES, key)
    if text is None:
        counted = _counts(worker, [(found.tenant_id, found.watched)])
        if not counted:
            return ""
        text = counted[0][1]
        worker.port.table_set(LINES, key, text)
    new, _, old = text.partition("/")
    return message_summary(_message_account(worker, found.tenant_id, entity), new=int(new), old=int(old))


def _message_account(worker: Worker, tenant_id: int, entity: str) -> str:
    """Return what a phone's message key calls: the code by which a person listens; the account, if there is none."""
    tenant = worker.directory.system.tenants.get(tenant_id)
    code = tenant.codes.get(StarAction.MAILBOX, "") if tenant is not None else ""
    return f"sip:{quote(code, safe='*')}@{entity.partition('@')[2]}" if code else entity


def tell(worker: Worker, tenant_id: int, username: str, package: str = "") -> None:
    """Send the watchers of a line, or of a mailbox, what is so now."""
    for call_id in _watchers(worker, _key(tenant_id, username, package)):
        _notify(worker, call_id)


# ------------------------------------------------------------------------------------------- what happens


def registration(worker: Worker, tenant_id: int, username: str) -> None:
    """A phone of an account came or went."""
    if is_watched(worker, tenant_id, username):
        worker.later.append(lambda: tell(worker, tenant_id, username))


def expired(worker: Worker, address: str) -> None:
    """The registration of a contact of an address of record ran out."""
    username, _, realm = address.removeprefix("sip:").partition("@")
    for tenant_id, tenant in worker.directory.system.tenants.items():
        if tenant.realm == realm:
            registration(worker, tenant_id, username)


def follow_agents(worker: Worker) -> None:
    """Tell watchers what agents do in call distribution; the database is asked once a second if any is watched."""
    port = worker.port
    watched = _followed(worker, "presence")
    if not watched:
        return
    try:
        found = worker.acd.run(lambda conn: line_facts.of_accounts(conn, accounts=watched))
    except KalibriError:
        return
    for entry in found:
        key = f"a:{entry.tenant_id}:{entry.username}"
        if port.table_text(LINES, key) != entry.state:
            port.table_set(LINES, key, entry.state)
            tell(worker, entry.tenant_id, entry.username)


def follow_mailboxes(worker: Worker) -> None:
    """Tell phones when a message came, was heard or is gone; asked once a second if any mailbox is watched."""
    port = worker.port
    for line, text in _counts(worker, _followed(worker, MESSAGES)):
        key = _mailbox_key(*line)
        if port.table_text(LINES, key) != text:
            port.table_set(LINES, key, text)
            tell(worker, *line, MESSAGES)


def _followed(worker: Worker, package: str) -> list[tuple[int, str]]:
    """Return the lines that are still watched of those for which the database must be asked."""
    port = worker.port
    wanted = json.loads(port.table_text(_TABLE, _SECTIONS[package]) or "[]")
    return [
        (tenant_id, name)
        for tenant_id, name in wanted
        if port.table_text(_TABLE, _key(tenant_id, name, package)) is not None
    ]


def _counts(worker: Worker, lines: list[tuple[int, str]]) -> list[tuple[tuple[int, str], str]]:
    """Return new and heard messages of accounts as "2/1"; nothing while the database is away."""
    if not lines:
        return []
    try:
        found = worker.acd.run(lambda conn: line_facts.messages_waiting(conn, accounts=lines))
    except KalibriError:
        return []
    return [((one.tenant_id, one.username), f"{one.new_count}/{one.old_count}") for one in found]


def watched_slots(worker: Worker) -> list[tuple[int, str, int]]:
    """Return the park slots that are watched: tenant, the name by which, number."""
    wanted = json.loads(worker.port.table_text(_TABLE, _SLOTS) or "[]")
    return [
        (tenant_id, name, slot)
        for tenant_id, name, slot in wanted
        if _watchers(worker, _key(tenant_id, name))
    ]
