"""Accounts 610 to 613 of the common instance, phones for them, and services that are gone after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

NAMES = ("610", "611", "612", "613")
SERVICE_TABLES = (
    "account_service",
    "account_forward",
    "account_caller",
    "account_speed_dial",
    "hunt_group",
    "service_code",
    "forward_policy",
)
MakePhone = Callable[..., Phone]


@pytest.fixture(scope="module")
def office(switch: Switch) -> Switch:
    """The common instance with four accounts more, each with a public number."""
    known = {row["username"] for row in switch.rows("SELECT username FROM account")}
    for name in NAMES:
        if name not in known:
            switch.add_account(name, caller_number=f"7495777{name}")
    switch.save()
    return switch


@pytest.fixture
def services(office: Switch) -> Iterator[Callable[..., None]]:
    """Return `services("account service set … ")`: ksctl, and wait until the proxy knows."""

    def run(*commands: str) -> None:
        for command in commands:
            noun, verb, *rest = command.split()
            words = [noun, verb] if noun != "account" else [noun, verb, rest.pop(0)]
            office.ksctl(*words, "-t", office.TENANT, *rest)
        office.save()

    yield run
    with office.connect() as conn:
        for table in SERVICE_TABLES:
            conn.execute(f"DELETE FROM {table}".encode())
    office.save()


@pytest.fixture
def phones(office: Switch, net_loop: NetLoop) -> Iterator[MakePhone]:
    """Return a maker of registered phones: phones("611", Plan.answer())."""
    made: list[Phone] = []

    def make(username: str, plan: Plan | None = None, *, register: bool = True, **more: object) -> Phone:
        phone = office.phone(net_loop, username, **more)
        phone.plan = plan or Plan.answer()
        if register:
            phone.register()
        made.append(phone)
        return phone

    yield make
    for phone in made:
        phone.unregister()
        phone.close()
