"""Guessing: accounts cannot be told from no accounts, every wrong password is written down, floods get silence."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.scenarios.torture.field import Field
from tests.support.attacker import enumerate_accounts, guess_password
from tests.support.fix_instance import MakeInstance
from tests.support.kamailio_probe import ask_options
from tests.support.switch import Switch

WRONG = ["1234", "0000", "100", "password"]


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "PUBLISH"])
def test_no_account_can_be_found_by_asking(switch: Switch, method: str) -> None:
    users = ["100", "101", "nobody", "999", "admin"]
    answers = enumerate_accounts(switch.address, switch.DOMAIN, users, method=method)
    assert len(set(answers.values())) == 1, answers
    assert "no answer" not in answers.values()


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "MESSAGE"])
def test_no_account_can_be_found_by_wrong_passwords(switch: Switch, method: str) -> None:
    known = guess_password(switch.address, switch.DOMAIN, "100", WRONG, method=method)
    unknown = guess_password(switch.address, switch.DOMAIN, "nobody", WRONG, method=method)
    assert known.found is None
    assert known.codes == unknown.codes == {401 if method == "REGISTER" else 407: len(WRONG)}


def test_the_guesser_finds_a_password_that_it_tries(switch: Switch) -> None:
    assert guess_password(switch.address, switch.DOMAIN, "103", [*WRONG, "pw103"]).found == "pw103"


def test_every_wrong_password_is_written_down_with_the_socket_that_it_came_from(field: Field) -> None:
    switch, counted = field.switch, field.counted().get("auth_failed", 0)
    for user in ("102", "nobody-at-all"):
        guess_password(switch.address, switch.DOMAIN, user, WRONG, ip="127.0.0.5")
    # without credentials nobody has guessed
    enumerate_accounts(switch.address, switch.DOMAIN, ["102"], ip="127.0.0.5")
    assert field.counted()["auth_failed"] == counted + 2 * len(WRONG)

    def events() -> list[dict[str, Any]]:
        found = field.journal("auth.failed")
        return [event for event in found if event["data"]["src"].rpartition(":")[0] == "127.0.0.5"]

    switch.wait(lambda: len(events()) >= 2 * len(WRONG), 20, "auth.failed of each")
    told = Counter((event["data"]["username"], event["tenant_id"]) for event in events())
    assert told == {("102", switch.tenant_id): len(WRONG), ("nobody-at-all", switch.tenant_id): len(WRONG)}


def test_a_flood_gets_silence_and_others_are_served(make_instance: MakeInstance) -> None:
    config = make_instance({"proxy.flood_requests_per_2s": 20, "rtp.nodes": 1}).config
    address = (config.proxy.listen_address, config.proxy.sip_port)
    guess = guess_password(address, "nobody.example", "100", map(str, range(200)), ip="127.0.0.7")
    assert guess.found is None
    assert guess.blocked
    users = [str(number) for number in range(100)]
    assert "no answer" in enumerate_accounts(address, "nobody.example", users[:40], ip="127.0.0.8").values()
    assert ask_options(address) is not None, "another address"
