"""An account as the directory file tells of it. Pure."""

from __future__ import annotations

from callcore.value import value


@value(kw_only=True)
class AccountRecord:
    """An enabled account, as the proxy needs it."""

    account_id: int
    username: str
    tenant_id: int
    #: Digest HA1 (RFC 8760), computed with the tenant's realm.
    ha1_md5: str
    ha1_sha256: str
    #: Domains in which it may register.
    domains: tuple[str, ...]
    display_name: str = ""
    #: Number shown to gateways when no route substitutes another.
    caller_number: str | None = None
    max_contacts: int = 5
    #: Calls at once; None: no limit.
    max_calls: int | None = None
    media_relay: str = "auto"
    ring_timeout_seconds: int | None = None
    #: The agent whose phone it is; None: nobody's. His dialogs are told to call distribution.
    agent_id: int | None = None
    #: Its calls are recorded, or never; None: as its tenant's policy says.
    record: bool | None = None
