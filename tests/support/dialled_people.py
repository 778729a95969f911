"""People whom a campaign calls: a carrier that does with each number what the test says, and counts.

people = People(switch, carriers)                  # every number beginning with 7800 leads to them
people.plans["78000000001"] = Plan.reject(486)     # others answer
people.calls_of("78000000001")
"""

from __future__ import annotations

import itertools
import random
import tempfile
import wave
from pathlib import Path

from kalibri import db
from kalibri.services import prompt
from tests.support.call_centre import KEYS, PCMA
from tests.support.fix_carriers import Carriers
from tests.support.sip_call import Call
from tests.support.sip_message import SipRequest
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

#: One instance serves many tests: each has numbers of its own.
_SERIAL = itertools.count(1)
PROMPT_SECONDS = 1.0


class People:
    """Whoever is behind a prefix."""

    def __init__(self, switch: Switch, carriers: Carriers, *, media: bool = True) -> None:
        serial = next(_SERIAL)
        self.prefix = f"78{serial:03}"
        self.plans: dict[str, Plan] = {}
        self.carrier = carriers.add(f"people{serial}", media=media)
        self.carrier.choose = self._plan
        self.carrier.payload_types = (PCMA, 0, KEYS)
        switch.add_route(f"^{self.prefix}", f"gateway:people{serial}", priority=float(5000 + serial))
        switch.save()

    def number(self, serial: int) -> str:
        """Return the number of somebody."""
        return f"{self.prefix}{serial:06}"

    def _plan(self, invite: SipRequest) -> Plan:
        return self.plans.get(_number(invite), Plan.answer())

    def calls_of(self, number: str) -> list[Call]:
        """Return the calls that came for a number, in order."""
        return [call for call in list(self.carrier.calls) if _number(call.invite) == number]

    def wait_call(self, number: str, count: int = 1, seconds: float = 30) -> Call:
        """Wait for the n-th call for a number."""
        self.carrier.wait(lambda: len(self.calls_of(number)) >= count, seconds, f"call {count} for {number}")
        return self.calls_of(number)[count - 1]


def _number(invite: SipRequest) -> str:
    return invite.uri.partition(":")[2].partition("@")[0].lstrip("+")


def install_prompts(switch: Switch, *names: str, seconds: float = PROMPT_SECONDS) -> None:
    """Give the tenant prompts of noise."""
    noise = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompt.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            samples = (noise.randrange(-8000, 8000) for _ in range(int(8000 * seconds)))
            file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
        with db.connect_tool(switch.config, application_name="test") as conn:
            for name in names:
                prompt.add(conn, switch.config, tenant_id=switch.tenant_id, name=name, file=path)
