"""Zones of numbers: every region of the table, several zones, offsets; nobody guesses."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore import dial_zones
from callcore.dial_zones import BadZone, read_zone, zones_of_country, zones_of_number, zones_of_region
from callcore.region import REGIONS
from callcore.schedule import time_zone

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_has_zones_that_exist(region: str) -> None:
    zones = zones_of_region(region)
    assert zones
    for zone in zones:
        time_zone(zone)


def test_regions_with_their_own_time_are_regions() -> None:
    assert set(dial_zones._OTHER_REGIONS) <= set(REGIONS)


@pytest.mark.parametrize(
    ("region", "hours"),
    [
        ("Калининградская обл.", {2}),
        ("г. Москва", {3}),
        ("Самарская область", {4}),
        ("Свердловская область", {5}),
        ("Омская область", {6}),
        ("Новосибирская область", {7}),
        ("Иркутская область", {8}),
        ("Республика Саха (Якутия)", {9, 10, 11}),
        ("Приморский край", {10}),
        ("Камчатский край", {12}),
        ("Москва и Московская область", {3}),
        ("Российская Федерация", set(range(2, 13))),
    ],
)
def test_offsets_of_regions(region: str, hours: set[int]) -> None:
    offsets = {ZoneInfo(zone).utcoffset(NOW) for zone in zones_of_region(region)}
    assert {offset.total_seconds() / 3600 for offset in offsets if offset} == hours


def test_what_nobody_knows_has_no_zone() -> None:
    assert zones_of_region("Атлантида") == ()
    assert zones_of_country("79161234567") == ()
    assert zones_of_number("12125550100") == ()


def test_what_the_list_says_goes_before_the_ranges() -> None:
    assert zones_of_number("79161234567", range_region="Москва") == ("Europe/Moscow",)
    assert zones_of_number("79161234567", region="Омская область", range_region="Москва") == ("Asia/Omsk",)
    assert zones_of_number("79161234567", zone="Asia/Chita", region="Омская область") == ("Asia/Chita",)
    assert zones_of_number("375291234567") == ("Europe/Minsk",)
    assert zones_of_number("77012345678") == ("Asia/Almaty",)


@pytest.mark.parametrize("country", dial_zones.COUNTRIES)
def test_zones_of_countries_exist(country: str) -> None:
    zones = zones_of_country(country + "5550100")
    assert zones
    assert [time_zone(zone).key for zone in zones] == list(zones)


@given(st.integers(-12, 14))
def test_offsets_are_what_they_say(hours: int) -> None:
    for text in (f"{hours:+d}", f"UTC{hours:+d}", f"GMT{hours:+03d}:00"):
        (zone,) = read_zone(text)
        offset = ZoneInfo(zone).utcoffset(NOW)
        assert offset is not None
        assert offset.total_seconds() == hours * 3600


def test_offsets_from_moscow() -> None:
    assert read_zone("MSK+2") == read_zone("мск+2") == read_zone("+5")


@pytest.mark.parametrize("text", ["+15", "Mars/Olympus", "5", "../etc/passwd", "+5:30"])
def test_other_zones_are_refused(text: str) -> None:
    with pytest.raises(BadZone):
        read_zone(text)
