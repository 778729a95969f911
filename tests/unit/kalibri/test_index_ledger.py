"""The ledger of ks-index: no change is forgotten, none is claimed to be served before it is."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from kalibri.index_ledger import TOUCHED_BY, Change, Ledger, Part
from kalibri.services import schema


def test_a_single_route_is_overlaid_not_owed() -> None:
    ledger = Ledger(10)
    ledger.saw(Change(11, "route", (3, 4)))
    assert ledger.overlaid == {3: 11, 4: 11}
    assert not ledger.owes(Part.ROUTES)
    assert ledger.seq == 11


def test_too_many_routes_to_name_owe_a_new_base() -> None:
    ledger = Ledger(10)
    ledger.saw(Change(11, "route", None))
    ledger.saw(Change(12, "route", (3,)))
    assert ledger.owes(Part.ROUTES)
    assert (ledger.served(Part.ROUTES), ledger.served(Part.SYSTEM), ledger.seq) == (10, 12, 10)


def test_a_base_forgets_only_the_routes_that_it_contains() -> None:
    ledger = Ledger(0)
    for seq, route in ((1, 7), (2, 8), (3, 7)):
        ledger.saw(Change(seq, "route", (route,)))
    ledger.built(Part.ROUTES, 2)
    assert ledger.overlaid == {7: 3}


def test_a_change_during_a_build_stays_owed() -> None:
    ledger = Ledger(5)
    ledger.saw(Change(6, "account", (1,)))
    ledger.saw(Change(9, "account", (2,)))
    ledger.built(Part.DIRECTORY, 8)
    assert ledger.owes(Part.DIRECTORY)
    assert ledger.served(Part.DIRECTORY) == 8
    ledger.built(Part.DIRECTORY, 9)
    assert not ledger.owes(Part.DIRECTORY)
    assert ledger.seq == 9


def test_a_table_that_does_not_matter_is_only_counted() -> None:
    ledger = Ledger(5)
    ledger.saw(Change(6, "address_book", (1,)))
    assert (ledger.seq, [part for part in Part if ledger.owes(part)]) == (6, [])


def test_another_database_owes_everything() -> None:
    ledger = Ledger(500)
    ledger.saw(Change(501, "route", (1,)))
    ledger.owe_everything(3)
    assert all(ledger.owes(part) for part in Part)
    assert (ledger.seen, ledger.seq, ledger.overlaid) == (3, 0, {})
    for part in Part:
        ledger.built(part, 3)
    assert ledger.seq == 3


def test_every_table_with_a_change_trigger_is_known() -> None:
    logged = re.findall(r"^CALL log_changes_of\('(\w+)'", schema.read(), re.MULTILINE)
    assert set(logged) == set(TOUCHED_BY)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(sorted(TOUCHED_BY)), st.booleans()),
        st.tuples(st.just("built"), st.sampled_from(list(Part)), st.integers(0, 5)),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_what_is_claimed_to_be_served_was_built_or_overlaid(steps: list[tuple[str, str, int]]) -> None:
    """Against a plain model: the contents of each part are the set of changes of its last snapshot."""
    ledger = Ledger(0)
    touched: dict[Part, list[int]] = {part: [] for part in Part}
    content = dict.fromkeys(Part, 0)
    seq = 0
    for step, what, more in steps:
        if step == "change":
            seq += 1
            named = what == "route" and bool(more)
            ledger.saw(Change(seq, what, (1,) if named else None))
            for part in TOUCHED_BY[what]:
                if not named:
                    touched[part].append(seq)
        else:
            part = Part(what)
            content[part] = max(content[part], seq - more)
            ledger.built(part, max(seq - more, 0))
    for part in Part:
        lacking = [change for change in touched[part] if change > content[part]]
        assert ledger.owes(part) == bool(lacking)
        assert all(change > ledger.served(part) for change in lacking)
