"""A foreign phone at the tiny Kamailio: registers, calls, is heard, hangs up; also with our own phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.baresip import Baresip, tone_share, wave_samples, write_tone
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import known_payload
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.tiny_kamailio import TinyKamailio


def test_two_baresips_hear_each_other(net_loop: NetLoop, tmp_path: Path) -> None:
    with (
        TinyKamailio(tmp_path / "proxy", auth="MD5", auth_calls=True) as proxy,
        Baresip(
            net_loop,
            tmp_path / "a",
            "100",
            proxy.DOMAIN,
            proxy=proxy.address,
            password=proxy.PASSWORD,
            tone_hz=400,
        ) as a,
        Baresip(
            net_loop,
            tmp_path / "b",
            "101",
            proxy.DOMAIN,
            proxy=proxy.address,
            password=proxy.PASSWORD,
            transport="tcp",
            answer="auto",
            wav=write_tone(tmp_path / "tone.wav", 5, 1000),
        ) as b,
    ):
        a.wait_registered()
        b.wait_registered()
        a.dial("101")
        a.wait_event("CALL_ESTABLISHED")
        b.wait_event("CALL_ESTABLISHED")
        net_loop.wait(lambda: heard(b, 8000) and heard(a, 8000), 10, "a second of sound at both ends")
        a.hang_up()
        b.wait_event("CALL_CLOSED")
        assert tone_share(wave_samples(b.recording("dec"))[4000:8000], 400) > 0.9
        assert tone_share(wave_samples(a.recording("dec"))[4000:8000], 1000) > 0.9


def heard(phone: Baresip, samples: int) -> bool:
    """Whether the recording of what it heard has so many samples (written as it grows)."""
    files = list(phone.home.glob("dump-*-dec.wav"))
    return bool(files) and files[0].stat().st_size > 2 * samples


def test_our_phone_and_baresip_call_each_other(
    net_loop: NetLoop, tiny_kamailio: TinyKamailio, make_phone: Callable[..., Phone], tmp_path: Path
) -> None:
    phone = make_phone("201", tiny_kamailio.DOMAIN, proxy=tiny_kamailio.address, password="none", media=True)
    with Baresip(
        net_loop, tmp_path, "200", tiny_kamailio.DOMAIN, proxy=tiny_kamailio.address, register=False
    ) as other:
        other.dial(f"sip:201@{phone.address[0]}:{phone.address[1]}")
        call = phone.wait_call().wait_answered()
        call.media.play(known_payload(1, seed=1))
        call.media.wait_received(25)
        assert call.hold().code == 200
        other.hang_up()
        assert call.wait_ended().ended_by == "remote"
        phone.plan = Plan.reject(486)
        other.dial(f"sip:201@{phone.address[0]}:{phone.address[1]}")
        assert "486" in other.wait_event("CALL_CLOSED", 2)["param"]
