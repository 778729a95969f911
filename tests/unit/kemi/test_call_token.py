"""The call token in Record-Route: found again, and never believed when somebody else made it."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from kemi.call_token import CallToken, find, seal

SECRET = b"a secret of this instance"
CALL = "01890a5d-ac96-774b-bcce-b302099a8057"


def route(parameter: str) -> str:
    return f"<sip:192.0.2.1:5060;lr;ftag=1{parameter};did=1.2>"


@given(st.uuids(version=4), st.booleans(), st.text(min_size=1, max_size=80))
def test_what_was_sealed_is_found(call_id: UUID, nat: bool, sip_call_id: str) -> None:
    token = CallToken(str(call_id), nat)
    assert find(SECRET, route(seal(SECRET, token, sip_call_id)), sip_call_id) == token


def test_a_token_does_not_serve_another_sip_call_id() -> None:
    sealed = seal(SECRET, CallToken(CALL), "a@phone")
    assert find(SECRET, route(sealed), "b@phone") is None


def test_a_changed_flag_or_call_breaks_the_seal() -> None:
    sealed = seal(SECRET, CallToken(CALL), "a@phone")
    assert find(SECRET, route(sealed.replace("--", "-n-")), "a@phone") is None
    assert (
        find(SECRET, route(sealed.replace(CALL.replace("-", ""), CALL.replace("-", "")[::-1])), "a@phone")
        is None
    )


def test_another_instance_made_it() -> None:
    assert find(b"another secret", route(seal(SECRET, CallToken(CALL), "a@phone")), "a@phone") is None


def test_the_right_one_of_several_routes_is_taken() -> None:
    stranger = seal(b"another secret", CallToken(str(UUID(int=7))), "a@phone")
    routes = f"{route(stranger)}, {route(seal(SECRET, CallToken(CALL, True), 'a@phone'))}"
    assert find(SECRET, routes, "a@phone") == CallToken(CALL, True)


@given(st.text(max_size=300))
def test_any_text_is_harmless(text: str) -> None:
    assert find(SECRET, text, "a@phone") is None
