"""The phones survive a proxy that is killed and comes back: requests are repeated until somebody answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.sip_carrier import Carrier
from tests.support.sip_phone import Phone
from tests.support.tiny_kamailio import TinyKamailio


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[TinyKamailio]:
    """A Kamailio of this test alone."""
    with TinyKamailio(tmp_path) as proxy:
        yield proxy


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_bye_arrives_after_a_restart(
    mortal: TinyKamailio,
    make_phone: Callable[..., Phone],
    make_carrier: Callable[..., Carrier],
    transport: str,
) -> None:
    carrier = make_carrier()
    phone = make_phone("100", mortal.DOMAIN, proxy=mortal.address, transport=transport)
    call = phone.call(f"sip:7@{carrier.address[0]}:{carrier.address[1]}")
    mortal.kill()
    bye = call.send_bye()
    mortal.restart()
    assert phone.finish(bye, 15).code == 200
    assert carrier.calls[0].wait_ended().ended_by == "remote"


def test_invite_that_finds_no_proxy_is_repeated(
    mortal: TinyKamailio, make_phone: Callable[..., Phone], make_carrier: Callable[..., Carrier]
) -> None:
    carrier = make_carrier()
    phone = make_phone("100", mortal.DOMAIN, proxy=mortal.address)
    mortal.kill()
    call = phone.invite(f"sip:7@{carrier.address[0]}:{carrier.address[1]}")
    mortal.restart()
    call.wait_answered(20)
    assert len(carrier.calls) == 1
    call.hang_up()


def test_probe_sees_a_lost_worker(mortal: TinyKamailio) -> None:
    before = mortal.probe.workers()
    mortal.probe.assert_alive(before)
    assert mortal.probe.shared_memory_used() > 0
    mortal.kill()
    with pytest.raises(AssertionError, match="no answer"):
        mortal.probe.assert_alive(before, timeout=0.5)
