"""ksctl form, screenpop, caller and card: what an administrator types, and what he is told."""

from __future__ import annotations

from pathlib import Path

from kalibri.db import Conn
from kalibri.services import card, event
from tests.support.acd_field import Field
from tests.support.fix_ksctl import Ksctl

GOOD = """\
title: Complaint
disposition: result
fields:
  - {name: result, type: choice, choices: [a, b], required: true}
"""
BAD = "title: Complaint\nfields:\n  - {name: note, type: txt}\n  - {type: text}\n"


def test_a_form_is_checked_saved_shown_and_filled_in(ksctl: Ksctl, db: Conn, tmp_path: Path) -> None:
    field = Field(db)
    field.host()
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD)
    bad.write_text(BAD)
    ksctl.ok(f"form check {good}")
    told = ksctl.fails(1, f"form check {bad}")
    assert "line 3: type:" in told
    assert 'line 4: "name" is missing' in told
    ksctl.fails(1, f"form add -t acme complaint {bad}")
    ksctl.ok(f"form add -t acme complaint {good}")
    assert ksctl.ok("form show -t acme complaint").stdout == GOOD
    [row] = ksctl.ok("form list -t acme -o csv").csv
    assert (row["name"], row["version"], row["enabled"]) == ("complaint", "1", "true")
    queue = field.queue("sales")
    field.agent("anna", queue)
    ksctl.ok(
        "screenpop set -t acme --queue sales --url https://crm.example/{caller} --at answer --form complaint"
    )
    [row] = ksctl.ok("screenpop list -t acme -o csv").csv
    assert (row["for"], row["open_at"], row["form"]) == ("queue sales", "answer", "complaint")
    ksctl.fails(1, "screenpop set -t acme --queue sales --url javascript:{caller}")
    offer = field.enter(queue, "74950001122").offer_id
    event.sequence(db)
    card.make_cards(db)
    [row] = ksctl.ok("card list -t acme -o csv").csv
    assert (row["offer_id"], row["caller"], row["url"]) == (str(offer), "74950001122", "")
    shown = ksctl.ok(f"card show -t acme {offer} -o json").json
    assert shown["form"]["fields"][0]["choices"][0]["value"] == "a"
    ksctl.fails(1, *["form", "sheet", "save", "-t", "acme"], str(offer), '{"result": "c"}')
    ksctl.ok(*["form", "sheet", "save", "-t", "acme", "--finished"], str(offer), '{"result": "b"}')
    [row] = ksctl.ok("form sheet list -t acme --disposition b -o csv").csv
    assert (row["agent"], row["answers"], row["finished"]) == ("anna", '{"result": "b"}', "true")
    assert ksctl.ok(f"form sheet show {row['sheet_id']} -o json").json["answers"] == {"result": "b"}
    ksctl.ok("screenpop rm -t acme --queue sales")
    db.execute("DELETE FROM agent_card")
    assert "put it out of use" in ksctl.fails(4, "form rm -t acme complaint")
    ksctl.ok("form set -t acme complaint --disable")


def test_an_address_is_tried_out_and_a_look_up_set(ksctl: Ksctl, db: Conn) -> None:
    Field(db)
    tried = ksctl.ok(*["screenpop", "test", "https://a/{lead.city}?p={caller}", "--var"], "lead.city=A B")
    assert tried.stdout == "https://a/A%20B?p=74950001122\n"
    ksctl.ok(
        *["caller", "lookup", "set", "-t", "acme", "--url", "https://crm/{caller}", "--header"], "X-Key: s"
    )
    shown = ksctl.ok("caller lookup show -t acme -o json").json
    assert (shown["headers"], shown["cache_seconds"]) == (["X-Key"], 300)
    known = ksctl.ok("caller info -t acme 7495 --no-ask -o json").json
    assert (known["number"], known["calls"], known["lookup"]) == ("7495", [], "none")
    ksctl.ok("caller lookup rm -t acme")
    ksctl.fails(3, "caller lookup show -t acme")
