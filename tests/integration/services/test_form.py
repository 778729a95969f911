"""Forms in versions, screen pops, and how a tenant's system is asked: what can be saved and what cannot."""

from __future__ import annotations

import pytest

from callcore.card import PopMoment
from callcore.errors import AlreadyExists, BadInput, NotFound, StillInUse
from callcore.template import BadTemplate
from kalibri.db import Conn
from kalibri.form_file import BadForm
from kalibri.services import caller, form, screen_pop
from tests.support.acd_field import Field
from tests.support.rows import add_campaign

SOURCE = "title: Complaint\nfields:\n  - {name: note, type: text}\n"
OTHER = "title: Complaint\nfields:\n  - {name: note, type: text, required: true}\n"


@pytest.fixture
def field(db: Conn) -> Field:
    """A tenant on a fresh database."""
    return Field(db)


def test_a_form_has_versions(db: Conn, field: Field) -> None:
    made = form.add(db, tenant_id=field.tenant, name="complaint", source=SOURCE)
    assert (made.version, made.enabled, made.sheets) == (1, True, 0)
    assert form.change(db, tenant_id=field.tenant, name="complaint", source=SOURCE).version == 1
    assert form.change(db, tenant_id=field.tenant, name="complaint", source=OTHER).version == 2
    assert form.find(db, tenant_id=field.tenant, name="complaint", version=1).source == SOURCE
    assert [one.version for one in form.versions(db, tenant_id=field.tenant, name="complaint")] == [2, 1]
    assert not form.change(db, tenant_id=field.tenant, name="complaint", enabled=False).enabled
    assert [one.name for one in form.list_forms(db, tenant_id=None)] == ["complaint"]
    with pytest.raises(NotFound):
        form.find(db, tenant_id=field.tenant, name="complaint", version=3)
    form.remove(db, tenant_id=field.tenant, name="complaint")
    assert form.list_forms(db, tenant_id=field.tenant) == []


def test_a_form_with_errors_is_not_saved(db: Conn, field: Field) -> None:
    with pytest.raises(BadForm, match="line 3"):
        form.add(db, tenant_id=field.tenant, name="x", source="title: x\nfields:\n  - {name: a, type: b}\n")
    form.add(db, tenant_id=field.tenant, name="x", source=SOURCE)
    with pytest.raises(BadForm):
        form.change(db, tenant_id=field.tenant, name="x", source="")
    with pytest.raises(AlreadyExists):
        form.add(db, tenant_id=field.tenant, name="x", source=SOURCE)
    with pytest.raises(BadInput):
        form.add(db, tenant_id=field.tenant, name="a b", source=SOURCE)
    assert form.find(db, tenant_id=field.tenant, name="x").version == 1


def test_screen_pops_are_set_and_changed(db: Conn, field: Field) -> None:
    field.agent("anna", field.queue("sales"))
    form.add(db, tenant_id=field.tenant, name="complaint", source=SOURCE)
    url = "https://crm.example/?c={caller}"
    made = screen_pop.set_pop(db, tenant_id=field.tenant, queue="sales", url=url, form="complaint")
    assert (made.queue, made.agent, made.form, made.open_at) == ("sales", None, "complaint", PopMoment.OFFER)
    changed = screen_pop.set_pop(db, tenant_id=field.tenant, queue="sales", open_at=PopMoment.ANSWER)
    assert (changed.url, changed.form, changed.open_at) == (url, "complaint", PopMoment.ANSWER)
    screen_pop.set_pop(db, tenant_id=field.tenant, agent="anna", url="https://a.example/")
    add_campaign(db, field.tenant, "spring")
    screen_pop.set_pop(db, tenant_id=field.tenant, campaign="spring", form="complaint")
    screen_pop.set_pop(db, tenant_id=field.tenant, url="https://b.example/")
    pops = screen_pop.list_pops(db, tenant_id=field.tenant)
    assert [(pop.agent, pop.campaign, pop.queue) for pop in pops] == [
        ("anna", None, None),
        (None, "spring", None),
        (None, None, "sales"),
        (None, None, None),
    ]
    with pytest.raises(StillInUse):
        form.remove(db, tenant_id=field.tenant, name="complaint")
    screen_pop.remove(db, tenant_id=field.tenant)
    with pytest.raises(NotFound):
        screen_pop.remove(db, tenant_id=field.tenant)


def test_what_cannot_open_is_not_saved(db: Conn, field: Field) -> None:
    field.queue("sales")
    for url in ("javascript:alert(1)", "https://{caller}/", "https://a/{nobody}", "https://a/../{caller}"):
        with pytest.raises(BadTemplate):
            screen_pop.set_pop(db, tenant_id=field.tenant, queue="sales", url=url)
    with pytest.raises(BadInput, match="an address, a form"):
        screen_pop.set_pop(db, tenant_id=field.tenant, queue="sales")
    with pytest.raises(BadInput, match="not several"):
        screen_pop.set_pop(db, tenant_id=field.tenant, queue="sales", campaign="x", url="https://a/")
    with pytest.raises(NotFound):
        screen_pop.set_pop(db, tenant_id=field.tenant, queue="other", url="https://a/")
    for missing in ({"form": "other"}, {"campaign": "other", "url": "https://a/"}):
        with pytest.raises(NotFound):
            screen_pop.set_pop(db, tenant_id=field.tenant, **missing)
    assert screen_pop.list_pops(db, tenant_id=field.tenant) == []


def test_an_address_can_be_tried_out() -> None:
    assert screen_pop.try_out(
        url="https://a/{caller}?n={info.name}", variables={"info": {"name": "A B"}}
    ) == ("https://a/74950001122?n=A%20B")


def test_how_a_system_is_asked_is_checked(db: Conn, field: Field) -> None:
    made = caller.set_lookup(db, tenant_id=field.tenant, url="https://crm/{caller}", headers={"X-Key": "s"})
    assert (made.timeout_ms, made.cache_seconds) == (2000, 300)
    changed = caller.set_lookup(db, tenant_id=field.tenant, timeout_ms=500)
    assert (changed.url, dict(changed.headers), changed.timeout_ms) == (
        "https://crm/{caller}",
        {"X-Key": "s"},
        500,
    )
    for bad in (
        {"url": "https://crm/{info.name}"},
        {"url": "https://crm/{offer_id}"},
        {"url": "ftp://crm/"},
        {"headers": {"Host": "x"}},
        {"headers": {"X-Key": "a\r\nB: c"}},
        {"headers": {"a b": "c"}},
        {"timeout_ms": 50_000},
        {"cache_seconds": -1},
    ):
        with pytest.raises(BadInput):
            caller.set_lookup(db, tenant_id=field.tenant, **bad)
    assert caller.find_lookup(db, tenant_id=field.tenant) == changed
    audited = db.execute(
        "SELECT after FROM audit_log WHERE noun = 'caller_lookup' AND operation = 'insert'"
    ).fetchone()
    assert audited is not None
    assert audited[0]["headers"] == "***"
    caller.remove_lookup(db, tenant_id=field.tenant)
    with pytest.raises(NotFound):
        caller.find_lookup(db, tenant_id=field.tenant)
