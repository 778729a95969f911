"""The dial port: orders are pulled when there is room, reports are told until the database has them, nothing twice."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from sems_apps.actions import DialStage, ReportDial
from sems_apps.dial_order import DialOrder
from sems_apps.host.dial_port import STALE_SECONDS, DialPort
from tests.support.fake_link import FakeLink, HandLoop


class Desk:
    """A port, and the host behind it."""

    def __init__(self) -> None:
        self.loop, self.link = HandLoop(), FakeLink()
        self.room, self.broken = 10, False
        self.dialled: list[DialOrder] = []
        self.port = DialPort(self.loop, "n1-media-1", self.link, lambda: self, boot=uuid.uuid4())  # type: ignore[arg-type]

    def dial(self, order: DialOrder) -> None:
        if self.broken:
            raise RuntimeError("no socket")
        self.dialled.append(order)

    def order(self, attempt: int = 5, **data: Any) -> None:
        """Let the database give one order."""
        self.link.answer("take", ("1", str(attempt), "3", f"call-{attempt}", "7495", json.dumps(data)))

    def reports(self) -> list[list[dict[str, Any]]]:
        return [json.loads(params["reports"]) for name, params in self.link.sent if name == "report"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def ended(attempt: int = 5) -> ReportDial:
    return ReportDial(attempt=attempt, stage=DialStage.ENDED, code=486)


def test_orders_are_dialled(desk: Desk) -> None:
    desk.port.take()
    desk.order(audio="sale", ring_seconds=20, keys={"9": {"action": "opt_out"}})
    (order,) = desk.dialled
    assert (order.attempt, order.number, order.audio, order.ring_seconds) == (5, "7495", "sale", 20.0)


def test_a_full_host_takes_nothing(desk: Desk) -> None:
    desk.room = 0
    desk.port.take()
    assert desk.link.sent == []


def test_it_asks_for_no_more_than_it_has_room_for_and_again_when_all_came(desk: Desk) -> None:
    desk.room = 1
    desk.port.take()
    desk.order()
    assert [params["room"] for name, params in desk.link.sent if name == "take"] == [1, 1]


def test_what_is_notified_while_it_asks_is_asked_for_afterwards(desk: Desk) -> None:
    desk.port.take()
    desk.port.take()
    assert desk.link.names() == ["take"]
    desk.order()
    assert desk.link.names() == ["take", "take"]


def test_an_answer_that_comes_too_late_is_not_dialled(desk: Desk) -> None:
    desk.port.take()
    desk.loop.time += STALE_SECONDS + 1
    desk.order()
    assert desk.dialled == []


def test_reports_are_told_together_and_until_they_are_heard(desk: Desk) -> None:
    desk.port.take()
    desk.order()
    desk.port.report(ReportDial(attempt=5, stage=DialStage.ANSWERED))
    desk.port.report(ended())
    desk.loop.turn()
    desk.link.fail("report")
    desk.loop.turn()
    first, second = desk.reports()
    assert [report["stage"] for report in first] == ["answered", "ended"]
    assert first == second
    desk.link.answer("report", ("2",))
    desk.loop.turn()
    assert len(desk.reports()) == 2


def test_the_end_is_told_once_whatever_follows(desk: Desk) -> None:
    desk.port.take()
    desk.order()
    desk.port.report(ended())
    desk.port.report(ended())
    desk.port.forget("call-5")
    desk.loop.turn()
    assert [len(batch) for batch in desk.reports()] == [1]


def test_a_session_that_ends_without_a_report_was_a_fault_of_ours(desk: Desk) -> None:
    desk.port.take()
    desk.order()
    desk.port.forget("call-5")
    desk.loop.turn()
    ((report,),) = desk.reports()
    assert (report["stage"], report["ours"], report["attempt"]) == ("ended", True, 5)


@pytest.mark.parametrize("broken", [True, False])
def test_an_order_that_cannot_be_dialled_is_told_at_once(desk: Desk, broken: bool) -> None:
    desk.broken = broken
    desk.port.take()
    desk.order(ring_seconds=20 if broken else "soon")
    desk.loop.turn()
    ((report,),) = desk.reports()
    assert report["ours"]
    assert desk.dialled == []


def test_heartbeats_name_what_is_held_and_what_is_not_told_yet(desk: Desk) -> None:
    desk.port.take()
    desk.link.answer("take", *[("1", str(n), "3", f"call-{n}", "7495", "{}") for n in (5, 6, 7)])
    desk.room = 0
    desk.port.report(ended(5))
    desk.port.begin()
    assert [params["live"] for name, params in desk.link.sent if name == "beat"] == ["{5,6,7}"]
    desk.loop.turn()
    desk.link.waiting.clear()
    desk.port.forget("call-7")
    assert [params["live"] for name, params in desk.link.sent if name == "beat"][-1] == "{5,6,7}"


def test_no_heartbeat_overtakes_an_order_that_is_on_its_way(desk: Desk) -> None:
    desk.port.begin()
    assert desk.link.names() == ["take"]
    desk.room = 0
    desk.order()
    desk.loop.turn()
    assert [params["live"] for name, params in desk.link.sent if name == "beat"] == ["{5}"]
