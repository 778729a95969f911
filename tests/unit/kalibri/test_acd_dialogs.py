"""What ks-acd reads from the dialogs of a proxy."""

from __future__ import annotations

from typing import Any

from kalibri.services.acd import ProxyCommand, calls_to_end, dialogs_of


def dialog(call_id: str, state: int = 4, **variables: str) -> dict[str, Any]:
    return {"call_id": call_id, "state": state, "h_entry": 7, "h_id": 9, "variables": variables}


def test_legs_of_agents_are_found_among_all_dialogs() -> None:
    found = dialogs_of(
        [
            dialog("a", ks_tenant="5", ks_agent="12,13", ks_a="700", ks_acd="legs 5 0 12out,13in 700"),
            dialog("b", ks_tenant="5"),
            dialog("c", 2, ks_tenant="5", ks_agent="12", ks_offer="99", ks_host="media-1"),
            dialog("d", 5, ks_tenant="5", ks_agent="14"),
            {"call_id": "e", "state": 4, "variables": None},
        ]
    )
    assert found.known == {"a", "b", "c", "e"}
    assert sorted(found.legs) == [(5, 12, "a"), (5, 12, "c"), (5, 13, "a")]
    assert found.legs[5, 12, "c"]["offer"] == 99
    assert [found.legs[5, 12, name]["confirmed"] for name in ("a", "c")] == [True, False]
    assert [found.legs[5, account, "a"]["direction"] for account in (12, 13)] == ["out", "in"]
    assert found.of_host == {"media-1": ((7, 9),)}


def test_odd_variables_are_passed_over() -> None:
    assert dialogs_of([dialog("a", ks_agent="x,,12"), dialog("b", ks_tenant="", ks_agent="1")]).legs == {}


def test_an_agent_is_taken_out_of_a_direct_call_while_he_rings_or_when_he_is_released() -> None:
    told = [
        dialog("rings", 2, ks_offer="1"),
        dialog("talks", 4, ks_offer="2"),
        dialog("held", 4, ks_offer="3"),
    ]
    told[0]["caller"] = {"cseq": "17"}
    direct = dialogs_of([*told, dialog("other", 2, ks_offer="4")]).direct
    commands = [
        ProxyCommand(1, "cancel_offer", 1, "moved by a supervisor"),
        ProxyCommand(2, "cancel_offer", 2, "moved by a supervisor"),
        ProxyCommand(3, "cancel_offer", 3, "released"),
        ProxyCommand(4, "wait", 4, None),
        ProxyCommand(5, "cancel_offer", 9, "ejected"),
    ]
    ended = calls_to_end(commands, direct)
    assert [(call.sip_call_id, call.answered) for call in ended] == [("rings", False), ("held", True)]
    assert (ended[0].cseq, ended[1].dialog) == ("17", (7, 9))
