"""JSON-RPC 2.0 without a server."""

from __future__ import annotations

import json

import pytest

from api.jsonrpc import MAX_BATCH, Code, ProtocolError, Request, code_of, error_text, parse
from callcore.errors import AlreadyExists, BadInput, KalibriError, NotFound, Unavailable
from kalibri.services.token import Forbidden, Unauthorized


def test_a_request_and_a_notification_are_told_apart_by_the_id() -> None:
    [one] = parse('{"jsonrpc":"2.0","id":null,"method":"m"}').entries
    [other] = parse('{"jsonrpc":"2.0","method":"m"}').entries
    assert isinstance(one, Request)
    assert isinstance(other, Request)
    assert (one.is_notification, other.is_notification) == (False, True)


def test_a_batch_keeps_its_order_and_its_bad_entries() -> None:
    message = parse('[{"jsonrpc":"2.0","id":1,"method":"a"}, 5, {"jsonrpc":"2.0","id":[],"method":"a"}]')
    assert message.is_batch
    assert [isinstance(entry, ProtocolError) for entry in message.entries] == [False, True, True]


@pytest.mark.parametrize("text", ["", "{", "nonsense", "[" * 100_000, b"\xff"])
def test_what_is_no_json_is_a_parse_error(text: str | bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(text)
    assert caught.value.code is Code.PARSE


@pytest.mark.parametrize("text", ["[]", json.dumps([1] * (MAX_BATCH + 1))])
def test_empty_and_endless_batches_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(text)
    assert caught.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound(), Code.NOT_FOUND),
        (AlreadyExists(), Code.REFUSED),
        (Forbidden(), Code.FORBIDDEN),
        (Unauthorized(), Code.UNAUTHORIZED),
        (BadInput(), Code.BAD_INPUT),
        (Unavailable(), Code.UNAVAILABLE),
        (KalibriError(), Code.INTERNAL),
    ],
)
def test_errors_of_the_domain_have_codes(error: KalibriError, code: Code) -> None:
    assert code_of(error) is code
    told = json.loads(error_text(7, error))
    assert (told["id"], told["error"]["data"]["error_id"]) == (7, error.error_id)
