"""Tokens of the API: who a request comes from, and what he may do.

Decides which secret is right and which scopes a token has. A secret is shown once and only its SHA-256 is
kept. An account logs in with its SIP password, of which the database holds HA1 only; its token acts for it
alone. Which method needs which scope is declared with the methods (api/methods).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from callcore.digest import ha1
from callcore.errors import BadInput, KalibriError, NotFound, Refused
from callcore.states import ApiScope
from kalibri import db
from kalibri.db import Conn
from kalibri.services.tenant import SYSTEM_TENANT_ID

SQL = db.statements("token")

#: How long the token of an account is good for, in seconds: a long shift.
LOGIN_SECONDS = 16 * 3600
#: What an account may do that logs in.
LOGIN_SCOPES = (ApiScope.AGENT,)
#: How long a ticket is good for, in seconds: the time until a stream is opened with it.
TICKET_SECONDS = 60
#: Tokens that ended so long ago are removed.
KEEP_ENDED_DAYS = 90

_FORM = re.compile(r"ks_([1-9][0-9]{0,8})_([A-Za-z0-9_-]{43})", re.ASCII)
#: Compared with when there is no such account: the answer takes as long as for a wrong password.
_NOBODY = "0" * 64

#: What a scope allows besides itself.
_IMPLIED = {
    ApiScope.READ: frozenset({ApiScope.READ}),
    ApiScope.AGENT: frozenset({ApiScope.AGENT}),
    ApiScope.SUPERVISOR: frozenset({ApiScope.READ, ApiScope.AGENT, ApiScope.SUPERVISOR}),
    ApiScope.ADMIN: frozenset(ApiScope),
}


class Unauthorized(KalibriError):
    """The token or the password is not valid."""

    error_id = "unauthorized"


class Forbidden(Refused):
    """The token does not allow this."""

    error_id = "forbidden"


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token as it is listed."""

    token_id: int
    tenant_id: int
    #: system: for all tenants.
    tenant: str
    name: str
    scopes: tuple[ApiScope, ...]
    #: User name of the account that it acts for; None: a program's.
    account: str | None
    created_at: datetime
    #: None: never.
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    #: Whether it would be accepted now.
    usable: bool


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """A token just made, with the text that its owner must keep: nobody can tell it again."""

    token_id: int
    token: str = field(repr=False)
    tenant: str
    scopes: tuple[ApiScope, ...]
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks."""

    token_id: int
    #: Of the system: for all tenants.
    tenant_id: int
    tenant: str
    name: str
    scopes: frozenset[ApiScope]
    #: User name of the account that logged in; None: a program.
    account: str | None = None
    #: The token that a ticket stands for; None: it is no ticket.
    ticket_of: int | None = None

    @property
    def lasting_id(self) -> int:
        """The token whose end ends what was begun with this one."""
        return self.ticket_of or self.token_id

    @property
    def is_system(self) -> bool:
        """Whether it may act for every tenant."""
        return self.tenant_id == SYSTEM_TENANT_ID

    @property
    def actor(self) -> str:
        """How the audit log names it."""
        if self.account is not None:
            return f"account {self.tenant}/{self.account}"
        return f"token {self.token_id} ({self.name})"

    def may(self, scope: ApiScope) -> bool:
        """Tell whether its scopes include this one."""
        return any(scope in _IMPLIED[own] for own in self.scopes)


@dataclass(frozen=True)
class _Usable:
    token_id: int
    tenant_id: int
    tenant: str
    name: str
    scopes: tuple[ApiScope, ...]
    account: str | None
    secret_hash: str
    ticket_of: int | None
    unused_for_long: bool


@dataclass(frozen=True)
class _LoginFacts:
    tenant_id: int
    tenant: str
    username: str
    realm: str
    ha1_sha256: str


def list_tokens(conn: Conn, *, tenant_id: int | None) -> list[Token]:
    """Return tokens, the newest first; None: of all tenants."""
    return db.fetch_all(conn, Token, SQL["list_tokens"], tenant_id=tenant_id, token_id=None)


def find(conn: Conn, *, tenant_id: int | None, token_id: int) -> Token:
    """Return one token; raises NotFound, also for another tenant's."""
    found = db.fetch_one(conn, Token, SQL["list_tokens"], tenant_id=tenant_id, token_id=token_id)
    return db.require(found, "token", token_id)


def add(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    scopes: Collection[ApiScope],
    expires_seconds: float | None = None,
    account: str | None = None,
    ticket_of: int | None = None,
) -> NewToken:
    """Make a token for a tenant (0: for all); expires_seconds None: never. Raises NotFound, BadInput."""
    if expires_seconds is not None and not 0 < expires_seconds <= 10 * 365 * 86_400:
        raise BadInput("a token is good for one second to ten years")
    secret = secrets.token_urlsafe(32)
    with conn.transaction():
        token_id: int = db.fetch_value(
            conn,
            SQL["add_token"],
            tenant_id=tenant_id,
            name=name,
            scopes=sorted({scope.value for scope in scopes}),
            secret_hash=_hash(secret),
            account=account,
            expires_seconds=expires_seconds,
            ticket_of=ticket_of,
        )
        made = find(conn, tenant_id=tenant_id, token_id=token_id)
    return NewToken(
        token_id=token_id,
        token=f"ks_{token_id}_{secret}",
        tenant=made.tenant,
        scopes=made.scopes,
        expires_at=made.expires_at,
    )


def revoke(conn: Conn, *, tenant_id: int | None, token_id: int) -> Token:
    """End a token at once; tenant_id None: whoever's it is. Raises NotFound."""
    with conn.transaction():
        db.execute(conn, SQL["revoke_token"], tenant_id=tenant_id, token_id=token_id)
        return find(conn, tenant_id=tenant_id, token_id=token_id)


def authenticate(conn: Conn, *, text: str) -> Principal:
    """Tell who shows this token; raises Unauthorized, whatever is wrong with it."""
    form = _FORM.fullmatch(text)
    found = (
        db.fetch_one(conn, _Usable, SQL["usable_token"], token_id=int(form[1])) if form is not None else None
    )
    if form is None or found is None or not hmac.compare_digest(found.secret_hash, _hash(form[2])):
        raise Unauthorized("the token is not valid")
    if found.unused_for_long:
        db.execute(conn, SQL["note_use"], token_id=found.token_id)
    return Principal(
        token_id=found.token_id,
        tenant_id=found.tenant_id,
        tenant=found.tenant,
        name=found.name,
        scopes=frozenset(found.scopes),
        account=found.account,
        ticket_of=found.ticket_of,
    )


def make_ticket(conn: Conn, principal: Principal) -> NewToken:
    """Make a token for the address of a stream: good for a minute, and while its own token is good."""
    return add(
        conn,
        tenant_id=principal.tenant_id,
        name=f"ticket of {principal.lasting_id}",
        scopes=principal.scopes,
        expires_seconds=TICKET_SECONDS,
        account=principal.account,
        ticket_of=principal.lasting_id,
    )


def log_in(conn: Conn, *, username: str, place: str, password: str) -> NewToken:
    """Give an account a token for its shift; place: its tenant, or a domain of it.

    Raises Unauthorized, equally for an unknown account and a wrong password.
    """
    facts = db.fetch_one(conn, _LoginFacts, SQL["login_facts"], username=username, place=place)
    secret = ha1(username, facts.realm if facts else "", password).sha256
    if not hmac.compare_digest(secret, facts.ha1_sha256 if facts else _NOBODY) or facts is None:
        raise Unauthorized("user name or password is wrong")
    return add(
        conn,
        tenant_id=facts.tenant_id,
        name=f"login of {facts.username}",
        scopes=LOGIN_SCOPES,
        expires_seconds=LOGIN_SECONDS,
        account=facts.username,
    )


def log_out(conn: Conn, *, token_id: int) -> None:
    """End the token that a request came with; raises NotFound."""
    if not db.execute(conn, SQL["revoke_token"], tenant_id=None, token_id=token_id):
        raise NotFound("the token has ended already")


def forget_ended(conn: Conn) -> int:
    """Remove tokens that ended long ago; return how many."""
    return db.execute(conn, SQL["forget_tokens"], days=KEEP_ENDED_DAYS)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
