"""Addresses made of what callers say of themselves lead where the administrator said, and nowhere else."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.template import BadTemplate, parse, parse_url, url_of, value_of

VALUES = {
    "caller": "+74950001122",
    "queue": "sales",
    "lead": {"name": "Anna & Co", "city": {"code": 77}},
    "var": {},
    "info": {"crm_id": "c-9"},
}


def test_values_are_percent_encoded_whole() -> None:
    address = parse_url("https://crm.example/c/{caller}?name={lead.name}&code={lead.city.code}#x{queue}")
    assert (
        url_of(address, VALUES) == "https://crm.example/c/%2B74950001122?name=Anna%20%26%20Co&code=77#xsales"
    )


def test_what_is_not_known_is_empty() -> None:
    assert (
        url_of(parse_url("http://a/?x={lead.nothing}&y={called}&z={lead.city}"), VALUES)
        == "http://a/?x=&y=&z="
    )


def test_the_id_of_the_crm_is_found_wherever_it_is() -> None:
    assert value_of(VALUES, "crm_id") == "c-9"
    assert value_of({**VALUES, "lead": {"crm_id": 7}}, "crm_id") == "7"
    assert parse_url("http://a/{crm_id}").uses("info")
    assert not parse_url("http://a/{caller}").uses("info")


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert({caller})",
        "ftp://a/{caller}",
        "//a/{caller}",
        "/c/{caller}",
        "{caller}",
        "http://{caller}/",
        "http://a.{caller}",
        "https://a{queue}.example/",
        "https://user@a.example/",
        "https://user:word@a.example/{caller}",
        "https://a.example:0/",
        "https://a.example:x{caller}/",
        "https://",
        "https:///x",
        "https://a.example/ x",
        "https://a.example/\n",
        "https://a.example\\@b.example/",
        "https://ä.example/",
        "https://a.example/{nobody}",
        "https://a.example/{lead}",
        "https://a.example/a/../b",
        "https://a.example/a/.{caller}/b",
        "https://a.example/a/{caller}.{called}",
        "https://a.example/a/%2{caller}/b",
        "https://a.example/a/%2e%2E",
        "https://a.example/{lead.}",
        "https://a.example/{lead.__class__.x y}",
        "https://a.example/{caller",
        "https://a.example/caller}",
        "https://a.example/{{caller}}",
        "https://a.example/" + "x" * 2000,
    ],
)
def test_what_is_no_address_or_could_lead_anywhere_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate):
        parse_url(text)


@pytest.mark.parametrize("caller", [".", "..", "%2e%2E", "%2e", "../..", "..%2f"])
def test_a_value_cannot_climb_in_the_path(caller: str) -> None:
    for text in ("https://a/tenant7/{caller}/x", "https://a/tenant7/{caller}", "https://a/t/x.{caller}/x"):
        path = urlsplit(url_of(parse_url(text), {"caller": caller})).path
        assert path.startswith("/t")
        assert not {unquote(step) for step in path.split("/")} & {".", ".."}, path


def test_two_values_together_cannot_climb_either() -> None:
    address = url_of(parse_url("https://a/t/{caller}{called}/x"), {"caller": ".", "called": "."})
    assert address == "https://a/t//x"


TEXTS = st.text(max_size=30)


@given(TEXTS, TEXTS, TEXTS)
def test_whatever_the_values_are_the_address_keeps_its_shape(one: str, two: str, three: str) -> None:
    address = parse_url("https://crm.example/a/{caller}/{caller_name}?x={lead.x}&y=1")
    made = urlsplit(url_of(address, {"caller": one, "caller_name": two, "lead": {"x": three}}))
    assert (made.scheme, made.netloc, made.fragment) == ("https", "crm.example", "")
    assert made.path.startswith("/a/")
    assert made.path.count("/") == 3
    assert not {step.lower() for step in made.path.split("/")} & {".", "..", "%2e", "%2e%2e", ".%2e", "%2e."}
    assert set(parse_qs(made.query, keep_blank_values=True)) == {"x", "y"}


@given(st.text(max_size=60))
def test_a_text_is_understood_or_refused(text: str) -> None:
    for read in (parse, parse_url):
        try:
            assert read(text).fill({}) is not None
        except BadTemplate:
            continue


def test_control_characters_and_endless_values_are_not_shown() -> None:
    assert value_of({"caller_name": "A\nB\u2028C"}, "caller_name") == "A B C"
    assert len(value_of({"caller_name": "x" * 10_000}, "caller_name")) == 500
    assert value_of({"var": {"a": True, "b": None, "c": [1]}}, "var.a") == "true"
    assert value_of({"var": {"c": [1]}}, "var.c") == ""
