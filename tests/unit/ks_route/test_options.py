"""Route options: what may be stored, and how the options of a chain add up."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.ks_route.options import NO_OPTIONS, BadRouteOption, RouteOptions, parse_options

EVERYTHING: dict[str, Any] = {
    "record": True,
    "relay": "always",
    "nat": False,
    "max_duration_seconds": 3600,
    "ring_timeout_seconds": 30,
    "codecs": ["PCMA", "telephone-event"],
    "caller_id": "+74950000000",
    "max_calls": 0,
    "emergency": True,
    "local_provider": True,
    "prefer_gateway": "gw-1",
    "group_order": "weight",
    "flags": {"campaign": "spring 2026"},
}


def test_what_is_stored_comes_back() -> None:
    assert parse_options(EVERYTHING).to_json() == EVERYTHING
    assert parse_options({"caller_id_set": "city"}).to_json() == {"caller_id_set": "city"}


def test_nothing_and_null_mean_not_set() -> None:
    assert parse_options({}) is NO_OPTIONS
    assert parse_options({"record": None}) == NO_OPTIONS
    assert NO_OPTIONS.to_json() == {}


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"recrod": True}, "unknown option 'recrod'; known: record, relay"),
        ({"record": 1}, "option record: 1 is not true or false"),
        ({"relay": "maybe"}, "is not one of auto, always, never"),
        ({"max_duration_seconds": 0}, "is not a whole number from 1 to 86400"),
        ({"max_duration_seconds": True}, "is not a whole number"),
        ({"max_duration_seconds": "60"}, "is not a whole number"),
        ({"ring_timeout_seconds": 3601}, "from 1 to 3600"),
        ({"codecs": "PCMA"}, "is not a list of at most 16 codec names"),
        ({"codecs": ["PCMA;x"]}, "is not a codec name"),
        ({"caller_id": "alice"}, "is not a number"),
        ({"caller_id": "7495\n"}, "is not a number"),
        ({"caller_id_set": "a b"}, "is not the name of a caller-ID set"),
        ({"caller_id": "7", "caller_id_set": "city"}, "exclude each other"),
        ({"max_calls": -1}, "from 0 to 1000000"),
        ({"prefer_gateway": ""}, "is not the name of a gateway"),
        ({"group_order": "price"}, "is not one of cost, weight"),
        ({"flags": []}, "is not a set of at most 32 names"),
        ({"flags": {"a b": "x"}}, "is not a flag name"),
        ({"flags": {"a": "x\r\nEvil: 1"}}, "printable ASCII"),
        ({"flags": {"a": 1}}, "printable ASCII"),
        ({"flags": {f"f{number}": "" for number in range(33)}}, "at most 32"),
    ],
)
def test_a_wrong_option_is_refused_by_name(stored: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRouteOption) as refusal:
        parse_options(stored)
    assert words in refusal.value.message


def test_a_later_hop_overrides_flags_add_up_and_emergency_stays() -> None:
    first = parse_options(
        {"record": True, "emergency": True, "flags": {"a": "1", "b": "1"}, "codecs": ["PCMA"]}
    )
    later = RouteOptions(record=False, emergency=False, flags={"b": "2"})
    merged = first.merged(later)
    assert merged.record is False
    assert merged.emergency is True
    assert merged.flags == {"a": "1", "b": "2"}
    assert merged.codecs == ("PCMA",)
    assert first.merged(NO_OPTIONS) is first


def test_a_caller_id_of_a_later_hop_replaces_the_other_kind() -> None:
    fixed, by_region = RouteOptions(caller_id="7495"), RouteOptions(caller_id_set="city")
    assert fixed.merged(by_region).to_json() == {"caller_id_set": "city"}
    assert by_region.merged(fixed).to_json() == {"caller_id": "7495"}
