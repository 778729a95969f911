"""Methods account.*: SIP accounts."""

from __future__ import annotations

from api.method import Context, Fields, Method, Scope, Tenancy
from kalibri.db import Conn
from kalibri.services import account as accounts
from kalibri.services import account_csv
from kalibri.services.account import Account, AccountRecord
from kalibri.services.token import Forbidden

SETTINGS = Fields(AccountRecord, without=("username", "ha1_md5", "ha1_sha256"))


def passwd(
    conn: Conn, *, tenant_id: int, username: str, password: str | None = None, generate: bool = False
) -> str | None:
    """Give an account a new password; generate: make one and return it, once. Raises NotFound, WeakPassword."""
    if generate == (password is not None):
        raise Forbidden("give a password, or generate")
    chosen = accounts.generate_password() if password is None else password
    accounts.set_password(conn, tenant_id=tenant_id, username=username, password=chosen)
    return chosen if generate else None


def show(context: Context, *, tenant_id: int, username: str) -> Account:
    """Return one account; an agent sees his own. Raises NotFound."""
    return accounts.find(context.conn, tenant_id=tenant_id, username=username)


METHODS = (
    Method("account.list", accounts.list_accounts, Scope.READ, Tenancy.FILTER),
    Method("account.show", show, Scope.AGENT, Tenancy.ONE, account="username"),
    Method("account.add", accounts.add, Scope.ADMIN, Tenancy.ONE, SETTINGS),
    Method("account.set", accounts.change, Scope.ADMIN, Tenancy.ONE, SETTINGS),
    Method("account.passwd", passwd, Scope.ADMIN, Tenancy.ONE),
    Method("account.rm", accounts.remove, Scope.ADMIN, Tenancy.ONE),
    Method("account.export", account_csv.export, Scope.ADMIN, Tenancy.ONE),
    Method("account.import", account_csv.import_, Scope.ADMIN, Tenancy.ONE),
)
