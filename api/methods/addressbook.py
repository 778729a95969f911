"""Methods addressbook.*: public address books of tenants."""

from __future__ import annotations

from api.method import Fields, Method, Scope, Tenancy
from kalibri.services import addressbook
from kalibri.services.addressbook import Entry

CHANGES = Fields(Entry, without=("tenant_id", "entry_id"))

METHODS = (
    Method("addressbook.list", addressbook.list_entries, Scope.AGENT, Tenancy.ONE),
    Method("addressbook.show", addressbook.find, Scope.AGENT, Tenancy.ONE),
    Method("addressbook.add", addressbook.add, Scope.ADMIN, Tenancy.ONE),
    Method("addressbook.set", addressbook.change, Scope.ADMIN, Tenancy.ONE, CHANGES),
    Method("addressbook.rm", addressbook.remove, Scope.ADMIN, Tenancy.ONE),
    Method("addressbook.export", addressbook.export, Scope.READ, Tenancy.ONE),
    Method("addressbook.import", addressbook.import_, Scope.ADMIN, Tenancy.ONE),
)
