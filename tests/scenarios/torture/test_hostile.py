"""Hostile messages and mutants of everything: the proxy lives, tells nothing of itself, and its memory stays flat."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import count

import pytest

from tests.scenarios.torture.field import DOMAINS, Field, Place
from tests.scenarios.torture.hostile import Aim, hostile_messages
from tests.scenarios.torture.mutate import mutant
from tests.scenarios.torture.sender import Tally, freshen
from tests.scenarios.torture.table import ALL

#: How many mutants of each kind are sent when nobody asks for a longer run.
MUTANTS = {"udp": 1_500, "tcp": 150}
#: A longer run, divided among the four kinds.
SECONDS = float(os.environ.get("KALIBRI_FUZZ_SECONDS", "0")) / 4
#: Each call of a gateway is remembered for minutes, so that its retransmissions are known.
BYTES_A_CALL = 1_000
#: What the allocator may move without growing.
SLACK_BYTES = 100_000
#: A worker's own memory; a page of the shared one counts as its own while nobody else has touched it.
WORKER_KB = 10_000

EVERYWHERE = pytest.mark.parametrize(
    ("place", "transport"), [(place, kind) for place in Place for kind in ("udp", "tcp")]
)


def _check(field: Field, place: Place, tally: Tally) -> None:
    assert tally.leaks == []
    assert tally.codes[500] == 0, "an exception of ours"
    if place is Place.STRANGER:
        assert tally.relayed == []


@EVERYWHERE
def test_hostile_messages_do_no_harm(field: Field, place: Place, transport: str) -> None:
    field.settle()
    aim, forwarded = Aim(*field.switch.address, DOMAINS[0]), field.forwarded()
    raws = [
        freshen(message.raw, f"{place.name}{transport}")
        for message in hostile_messages(aim)
        if transport in message.transports
    ]
    tally = field.sender(place).send_all(raws, transport, check_every=10)
    _check(field, place, tally)
    assert len(raws) > 400
    assert sum(tally.codes.values()) > 100, "most are answered, or the test tests nothing"
    if place is Place.STRANGER:
        assert field.forwarded() == forwarded


@EVERYWHERE
def test_mutants_do_no_harm_and_leave_no_memory_behind(field: Field, place: Place, transport: str) -> None:
    seeds = [message.raw for message in ALL]
    aim = Aim(*field.switch.address, DOMAINS[0])
    seeds += [message.raw for message in hostile_messages(aim) if len(message.raw) < 3_000][::7]
    sender, deadline = field.sender(place), time.monotonic() + SECONDS
    sender.send_all(seeds, transport)
    shared, private = field.memory(), field.probe.private_memory_kb()

    def series() -> Iterator[bytes]:
        for number in count():
            if number >= MUTANTS[transport] and time.monotonic() > deadline:
                return
            yield mutant(seeds, f"{place.name}{transport}", number).raw

    tally = sender.send_all(series(), transport)
    _check(field, place, tally)
    calls = sum(1 for item in tally.relayed if item.startswith(b"INVITE"))
    assert field.memory() - shared < SLACK_BYTES + calls * BYTES_A_CALL
    grown = {pid: kb - private[pid] for pid, kb in field.probe.private_memory_kb().items()}
    assert max(grown.values()) < WORKER_KB, grown
