"""Where packets belong: whatever the network and the phones do, each sample comes to its place."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.rtp_placement import TICKS_PER_SECOND, Packets, Placement, place

FRAME = 160


@dataclass
class Row:
    """One packet: what it carries is its number."""

    arrival: int
    sequence: int
    timestamp: int
    ssrc: int
    content: int


def sent(
    count: int, *, ssrc: int = 7, at: int = 0, sequence: int = 0, timestamp: int = 0, content: int = 0
) -> list[Row]:
    return [
        Row(
            at + n * FRAME,
            (sequence + n) & 0xFFFF,
            (timestamp + n * FRAME) & 0xFFFFFFFF,
            ssrc,
            content + n,
        )
        for n in range(count)
    ]


def placed(rows: list[Row]) -> tuple[dict[int, int], Placement]:
    """Return {content: position} and the placement."""
    columns = [
        np.array([getattr(row, name) for row in rows], np.int64)
        for name in ("arrival", "sequence", "timestamp", "ssrc")
    ]
    placement = place(Packets(*columns, np.full(len(rows), FRAME, np.int64)))
    found = zip(placement.rows.tolist(), placement.position.tolist(), strict=True)
    return {rows[row].content: position for row, position in found}, placement


def jittered(rows: list[Row], most: int, seed: int) -> list[Row]:
    """Delay each packet by up to `most` ticks, and bring them in the order of arrival."""
    rng = random.Random(seed)
    late = [
        Row(row.arrival + rng.randint(0, most), row.sequence, row.timestamp, row.ssrc, row.content)
        for row in rows
    ]
    return sorted(late, key=lambda row: row.arrival)


@given(
    count=st.integers(1, 400),
    timestamp=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 65535),
    lost=st.floats(0, 0.3),
    repeated=st.floats(0, 0.3),
    jitter=st.integers(0, 900),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=150)
def test_loss_repetition_reordering_and_wrapping_move_nothing(
    count: int, timestamp: int, sequence: int, lost: float, repeated: float, jitter: int, seed: int
) -> None:
    rng = random.Random(seed)
    rows = jittered(sent(count, sequence=sequence, timestamp=timestamp), jitter, seed)
    kept = [row for row in rows if rng.random() >= lost]
    doubled = [row for row in kept for _ in range(2 if rng.random() < repeated else 1)]
    positions, placement = placed(doubled)
    assert positions.keys() == {row.content for row in kept}
    steps = {position - content * FRAME for content, position in positions.items()}
    assert len(steps) <= 1
    assert placement.repeated == len(doubled) - len(kept)
    assert all(0 <= step <= jitter for step in steps)
    assert (np.diff(placement.position) > 0).all()


@given(
    st.integers(2, 200),
    st.integers(2, 200),
    st.integers(0, 2**32 - 1),
    st.integers(0, 300),
    st.integers(0, 9999),
)
def test_a_change_of_ssrc_costs_no_sample(
    first: int, second: int, timestamp: int, jitter: int, seed: int
) -> None:
    rows = sent(first, ssrc=1) + sent(
        second, ssrc=2, at=first * FRAME, timestamp=timestamp, sequence=seed, content=first
    )
    positions, placement = placed(jittered(rows, jitter, seed))
    assert len({position - content * FRAME for content, position in positions.items()}) == 1
    assert placement.streams == 2


@given(st.integers(20, 300), st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_a_phone_that_begins_its_timestamps_anew_stays_in_place(
    gap_frames: int, jump: int, timestamp: int
) -> None:
    """Same SSRC, new timestamps, after a hold: arrival says where."""
    resumed = 50 + gap_frames
    rows = sent(50) + sent(50, at=resumed * FRAME, sequence=50, timestamp=timestamp, content=resumed)
    positions, _ = placed(rows)
    for content, position in positions.items():
        assert abs(position - content * FRAME) <= TICKS_PER_SECOND // 4, content
    late = [position - content * FRAME for content, position in positions.items() if content >= resumed]
    assert len(set(late)) == 1


def test_a_stalled_network_does_not_move_what_comes_after() -> None:
    rows = sent(500)
    for row in rows[100:150]:
        row.arrival = rows[150].arrival  # a second is held back, then comes at once
    positions, placement = placed(rows)
    assert {position - content * FRAME for content, position in positions.items()} == {0}
    assert placement.restarts == 0


def test_one_packet_that_comes_a_second_late_is_only_late() -> None:
    rows = sent(300)
    rows[100].arrival += TICKS_PER_SECOND
    positions, placement = placed(sorted(rows, key=lambda row: row.arrival))
    assert {position - content * FRAME for content, position in positions.items()} == {0}
    assert (placement.reordered, placement.lost, placement.restarts) == (1, 0, 0)


def test_a_drifting_clock_is_followed_in_steps() -> None:
    """A phone whose clock runs 0.1 % fast: after 20 minutes it would be 1.2 s ahead."""
    rows = sent(60_000)
    for row in rows:
        row.arrival = round(row.content * FRAME * 0.999)
    positions, _ = placed(rows)
    ahead = [position - row.arrival for row in rows if (position := positions.get(row.content)) is not None]
    assert max(ahead) <= TICKS_PER_SECOND // 4
    assert len(positions) > 59_000


def test_lost_packets_are_counted() -> None:
    rows = [row for row in sent(1000, sequence=65_000) if row.content % 100 != 50]
    _, placement = placed(rows)
    assert (placement.received, placement.lost) == (990, 10)


def test_nothing_at_all() -> None:
    positions, placement = placed([])
    assert (positions, placement.received, placement.streams) == ({}, 0, 0)


def test_a_flood_of_streams_does_not_take_for_ever() -> None:
    rows = sent(2000, ssrc=1)
    noise = [Row(n * 16, n & 0xFFFF, n * 977, 1000 + n, 10**6 + n) for n in range(20_000)]
    positions, placement = placed(sorted(rows + noise, key=lambda row: row.arrival))
    assert placement.streams <= 256
    assert sum(content < 10**6 for content in positions) > 1000
