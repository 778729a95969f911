"""States of campaigns, what stands against dialling a lead, and the caller id that is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.dial import (
    CAMPAIGN_TRANSITIONS,
    CampaignRefused,
    CampaignState,
    DialRules,
    DoNotCallScope,
    LeadFacts,
    LeadNumberState,
    LeadState,
    Obstacle,
    campaign_after,
    obstacles,
)
from callcore.dial_caller_id import NoCallerId, PoolNumber, choose_caller_id
from callcore.dial_hours import CallingHours

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
RULES = DialRules(
    hours=CallingHours.make("mon-sun 09:00-21:00"), consent_required=True, max_attempts=3, unknown_zones=()
)
LEAD = LeadFacts(
    state=LeadState.WAITING,
    due_at=NOW,
    expires_at=None,
    attempts=0,
    consent_basis="contract",
    number_state=LeadNumberState.GOOD,
    zones=("Europe/Moscow",),
    listed=None,
)


@pytest.mark.parametrize(("state", "step"), list(product(CampaignState, CAMPAIGN_TRANSITIONS)))
def test_every_step_from_every_state(state: CampaignState, step: str) -> None:
    allowed = {
        "start": {CampaignState.STOPPED, CampaignState.PAUSED, CampaignState.FINISHED},
        "pause": {CampaignState.RUNNING},
        "stop": {CampaignState.RUNNING, CampaignState.PAUSED},
        "finish": {CampaignState.RUNNING},
    }[step]
    if state in allowed:
        assert campaign_after(state, step) != state
    else:
        with pytest.raises(CampaignRefused):
            campaign_after(state, step)


def test_a_lead_with_nothing_against_it_is_dialled() -> None:
    assert obstacles(RULES, LEAD, NOW) == ()


@pytest.mark.parametrize(
    ("lead", "obstacle"),
    [
        (replace(LEAD, state=LeadState.DIALLING), Obstacle.STATE),
        (replace(LEAD, number_state=LeadNumberState.DEAD), Obstacle.DEAD),
        (replace(LEAD, listed=DoNotCallScope.TENANT), Obstacle.DO_NOT_CALL),
        (replace(LEAD, consent_basis=""), Obstacle.NO_CONSENT),
        (replace(LEAD, expires_at=NOW), Obstacle.EXPIRED),
        (replace(LEAD, attempts=3), Obstacle.ATTEMPTS),
        (replace(LEAD, due_at=NOW + timedelta(seconds=1)), Obstacle.NOT_DUE),
        (replace(LEAD, zones=()), Obstacle.NO_ZONE),
        (replace(LEAD, zones=("Europe/Moscow", "Asia/Kamchatka")), Obstacle.HOURS),
    ],
)
def test_each_thing_that_stands_against_it(lead: LeadFacts, obstacle: Obstacle) -> None:
    assert obstacles(RULES, lead, NOW) == (obstacle,)


def test_a_campaign_may_say_which_hours_count_for_an_unknown_zone() -> None:
    lead = replace(LEAD, zones=())
    assert obstacles(replace(RULES, unknown_zones=("Europe/Moscow",)), lead, NOW) == ()
    assert obstacles(replace(RULES, unknown_zones=("Asia/Kamchatka",)), lead, NOW) == (Obstacle.HOURS,)


GENERAL = PoolNumber(number="74950000001", daily_cap=10)
SECOND = PoolNumber(number="74950000002")
OMSK = PoolNumber(number="73810000001", region="Омская область", daily_cap=5)
POOL = [GENERAL, SECOND, OMSK]


def test_the_region_of_the_destination_has_its_number() -> None:
    chosen = choose_caller_id(POOL, region="Омская область", used_today={}, kept=None)
    assert chosen == OMSK
    chosen = choose_caller_id([OMSK], region="Москва", used_today={}, kept=None)
    assert chosen is NoCallerId.NO_POOL


def test_the_least_used_number_is_shown() -> None:
    used = {GENERAL.number: 3, SECOND.number: 4}
    assert choose_caller_id(POOL, region="Москва", used_today=used, kept=None) == GENERAL


def test_a_lead_always_sees_the_same_number() -> None:
    used = {GENERAL.number: 9, SECOND.number: 0}
    assert choose_caller_id(POOL, region="Москва", used_today=used, kept=GENERAL.number) == GENERAL
    used = {GENERAL.number: 10}
    assert choose_caller_id(POOL, region="Москва", used_today=used, kept=GENERAL.number) is NoCallerId.USED_UP
    gone = choose_caller_id(POOL, region="Москва", used_today={}, kept="70000000000")
    assert gone == GENERAL


pool_numbers = st.builds(
    PoolNumber,
    number=st.sampled_from(["100", "101", "102", "103"]),
    region=st.sampled_from(["", "Москва", "Омская область"]),
    daily_cap=st.none() | st.integers(1, 5),
)


@given(
    pool=st.lists(pool_numbers, max_size=6),
    region=st.sampled_from(["", "Москва", "Москва и Московская область", "Омская область"]),
    used=st.dictionaries(st.sampled_from(["100", "101", "102", "103"]), st.integers(0, 6)),
    kept=st.none() | st.sampled_from(["100", "101", "999"]),
)
def test_caps_hold_and_a_kept_number_is_never_exchanged(
    pool: list[PoolNumber], region: str, used: dict[str, int], kept: str | None
) -> None:
    chosen = choose_caller_id(pool, region=region, used_today=used, kept=kept)
    if isinstance(chosen, PoolNumber):
        assert chosen in pool
        assert chosen.daily_cap is None or used.get(chosen.number, 0) < chosen.daily_cap
        if kept in {entry.number for entry in pool}:
            assert chosen.number == kept
        else:
            assert not chosen.region or chosen.region in region
    elif chosen is NoCallerId.USED_UP:
        assert any(used.get(entry.number, 0) >= (entry.daily_cap or 10**9) for entry in pool)
