"""Two proxies on one database, accounts 100 to 105 at whichever of them, and services that are gone after each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.scenarios.services_lead_calls_elsewhere.conftest import SERVICE_TABLES
from tests.support.faults import rpc
from tests.support.fix_call_centre import PATIENT, share_secrets
from tests.support.fix_instance import Instance
from tests.support.fix_switch import SETTINGS, made_switch
from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

ACCOUNTS = ("100", "101", "102", "103", "104", "105")
BARE = {**SETTINGS, **PATIENT}


@dataclass
class Office:
    """Both machines, and the phones of a test."""

    here: Switch
    there: Switch
    loop: NetLoop
    phones: list[Phone] = field(default_factory=list)
    registered: list[Phone] = field(default_factory=list)

    def phone(self, at: Switch, username: str, plan: Plan | None = None, **more: object) -> Phone:
        """Return a phone that is registered at one of the machines."""
        phone = at.phone(self.loop, username, **more)
        phone.plan = plan or Plan.ring()
        phone.register()
        self.phones.append(phone)
        self.registered.append(phone)
        return phone

    def caller(self, at: Switch, username: str = "100", **more: object) -> Phone:
        """Return a phone that calls from one of the machines and is not registered."""
        phone = at.phone(self.loop, username, **more)
        self.phones.append(phone)
        return phone

    def set(self, *commands: str) -> None:
        """Change services by ksctl, and wait until both proxies know."""
        for command in commands:
            noun, verb, *rest = command.split()
            words = [noun, verb] if noun != "account" else [noun, verb, rest.pop(0)]
            self.here.ksctl(*words, "-t", self.here.TENANT, *rest)
        self.save()

    def wait_quiet(self) -> None:
        """Wait until neither proxy knows of accounts in calls: what it forgot to take away would light a lamp."""
        for at in (self.here, self.there):
            at.wait(lambda at=at: not table(at, "talk"), 30, "no calls left")  # type: ignore[misc]

    def save(self) -> None:
        """Wait until both proxies know what is configured."""
        self.here.save()
        self.there.save()


def table(at: Switch, name: str) -> dict[str, str]:
    """Return a shared table of a proxy."""
    return {
        str(entry["name"]): str(entry["value"])
        for slot in rpc(at, "htable.dump", name)
        for entry in slot["slot"]
    }


@pytest.fixture(scope="package")
def machines(_swept: None) -> Iterator[tuple[Switch, Switch]]:
    """Two machines without media hosts; the database is the first one's."""
    for first in made_switch(BARE, ACCOUNTS):
        other = Instance({**BARE, "node_name": "n2", "database.dsn": first.config.database_dsn})
        try:
            share_secrets(first.config, other.config)
            other.up()
            yield first, Switch(other, tenant_id=first.tenant_id)
        finally:
            other.remove()


@pytest.fixture
def office(machines: tuple[Switch, Switch], net_loop: NetLoop) -> Iterator[Office]:
    """The office of a test."""
    made = Office(*machines, net_loop)
    made.save()
    yield made
    made.wait_quiet()
    for phone in made.phones:
        if phone in made.registered:
            phone.unregister()
        phone.close()
    with made.here.connect() as conn:
        for table in SERVICE_TABLES:
            conn.execute(f"DELETE FROM {table}".encode())
