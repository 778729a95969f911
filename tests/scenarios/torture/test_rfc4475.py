"""All messages of RFC 4475 against the switch: each gets exactly what table.EXPECTED says."""

from __future__ import annotations

import pytest

from tests.scenarios.torture.field import Field, Place
from tests.scenarios.torture.markup import TortureMessage
from tests.scenarios.torture.sender import Verdict, freshen
from tests.scenarios.torture.table import ALL, EXPECTED, Expected, Outcome


def test_the_table_decides_every_message() -> None:
    assert list(EXPECTED) == [message.name for message in ALL]
    assert len(ALL) == 49


@pytest.mark.parametrize("message", ALL, ids=[message.name for message in ALL])
def test_message_gets_what_the_table_says(field: Field, message: TortureMessage) -> None:
    for place in Place:
        for transport in ("udp", "tcp"):
            expected = EXPECTED[message.name].at(gateway=place is Place.GATEWAY, stream=transport == "tcp")
            raw = freshen(message.raw, f"{place.name}{transport}")
            verdict = field.sender(place).send(raw, transport, message.name)
            where = f"{message.name} from {place.name} by {transport}"
            assert verdict.alive, where
            assert (verdict.outcome, verdict.codes) == (expected.outcome, expected.codes), where
            _check_relayed(verdict, expected, where)


def _check_relayed(verdict: Verdict, expected: Expected, where: str) -> None:
    """What is relayed is one INVITE and the ACK of its refusal; nothing that was escaped has become a header."""
    methods = {item.partition(b" ")[0] for item in verdict.relayed}
    assert methods == ({b"INVITE", b"ACK"} if expected.outcome is Outcome.RELAYED else set()), where
    for item in verdict.relayed:
        head = item.partition(b"\r\n\r\n")[0]
        assert b"\r\nRoute:" not in head, where
        assert b"Accept:" not in head or verdict.name == "sdp01", where
