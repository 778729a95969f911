"""Calls that are parked by transfer, on the instance with real media hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kalibri import db
from kalibri.services import park
from tests.support.call_centre import CallCentre
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone


class ParkField:
    """Phones of accounts, and what is parked."""

    def __init__(self, centre: CallCentre) -> None:
        self.centre, self.switch = centre, centre.switch
        self._registered: list[Phone] = []

    def phone(self, username: str, **more: Any) -> Phone:
        """Return a registered phone with media."""
        phone = self.centre.phone(username, media=True, **more)
        phone.register()
        self._registered.append(phone)
        return phone

    def close(self) -> None:
        """Take the phones away."""
        for phone in self._registered:
            phone.unregister()

    def policy(self, **changes: Any) -> None:
        """Change how the tenant parks."""
        with db.connect_tool(self.switch.config, application_name="test") as conn:
            park.set_policy(conn, tenant_id=self.switch.tenant_id, **changes)

    def parked(self) -> list[park.ParkedCall]:
        """Return what is parked now."""
        with db.connect_tool(self.switch.config, application_name="test") as conn:
            return park.list_parked(conn, tenant_id=self.switch.tenant_id)

    def wait_parked(self, count: int) -> list[park.ParkedCall]:
        """Wait until so many calls are parked."""
        self.switch.wait(lambda: len(self.parked()) == count, 20, f"{count} parked calls")
        return self.parked()

    def park(self, caller: Phone, parker: Phone, code: str = "*70") -> tuple[Call, Call]:
        """Let a caller talk to an account that parks him; return his new call and that of the parker."""
        number = len(parker.calls) + 1
        first = caller.call(f"sip:{parker.username}@demo.test")
        talk = parker.wait_call(number).wait_answered()
        assert talk.refer(f"sip:{code}@demo.test").code == 202
        caller.wait(lambda: first.referred, 10, "REFER")
        return caller.invite(first.referred[0].strip("<>")), talk

    def story(self, call: Call) -> list[tuple[str, dict[str, Any]]]:
        """Return what the story of an ended call says of parking."""
        events = self.switch.events(self.switch.cdr(call.call_id)["call_id"])
        return [(event["kind"], event["data"]) for event in events if event["kind"].startswith("park.")]


@pytest.fixture
def field(live_centre: CallCentre) -> Iterator[ParkField]:
    """Nothing is parked, before and after."""
    made = ParkField(live_centre)
    yield made
    made.close()
    with made.switch.connect() as conn:
        conn.execute("DELETE FROM park_policy")
        conn.execute("DELETE FROM parked_call")
        conn.execute("DELETE FROM stored_message")
