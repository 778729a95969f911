"""The processes of an instance, as data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig, RtpConfig, StunConfig
from tools.instance.processes import process, processes, reachable, rtp_ports, rtp_spool

CONFIG = Config(home=Path("/home/ks"), rtp=RtpConfig(nodes=3, port_min=10_001, port_max=10_041))


def test_processes_start_with_what_the_others_need() -> None:
    assert [item.name for item in processes(CONFIG)] == [
        *(
            "postgres",
            "rtp-1",
            "rtp-2",
            "rtp-3",
            "rtpc-1",
            "rtpc-2",
            "media-1",
            "stun",
            "ks-index",
            "kamailio",
        ),
        *("ks-cdr", "ks-acd", "ks-dial", "ks-rec", "ks-ears", "ks-api", "ks-worker", "watch"),
    ]


def test_what_is_elsewhere_or_switched_off_is_no_process() -> None:
    config = dataclasses.replace(
        CONFIG, database=DatabaseConfig(dsn="host=db1"), stun=StunConfig(enabled=False)
    )
    assert {"postgres", "stun"}.isdisjoint(item.name for item in processes(config))


def test_nodes_share_the_media_ports_in_even_pairs_and_never_overlap() -> None:
    shares = [rtp_ports(CONFIG, number) for number in (1, 2, 3)]
    assert shares == [(10_002, 10_013), (10_014, 10_025), (10_026, 10_037)]


def test_each_node_has_a_spool_of_its_own() -> None:
    assert (
        len({rtp_spool(CONFIG, item.name) for item in processes(CONFIG) if item.name.startswith("rtp-")}) == 3
    )


def test_kamailio_finds_debians_python_first_and_our_packages() -> None:
    kamailio = process(CONFIG, "kamailio")
    assert kamailio.environment["PATH"] == "/usr/sbin:/usr/bin:/sbin:/bin"
    packages, project = kamailio.environment["PYTHONPATH"].split(":")
    assert packages.endswith("site-packages")
    assert (Path(project) / "kemi").is_dir()


def test_only_users_of_the_database_wait_for_it() -> None:
    needs = {item.name: item.needs for item in processes(CONFIG)}
    assert needs["kamailio"] == ("database", "index")
    assert needs["ks-cdr"] == needs["ks-index"] == ("database",)
    assert needs["rtp-1"] == needs["rtpc-1"] == needs["stun"] == needs["watch"] == ()


def test_an_unknown_process_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        process(CONFIG, "nobody")


@pytest.mark.parametrize(
    ("listen", "ask"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.7", "192.0.2.7")]
)
def test_a_server_on_every_address_is_asked_on_loopback(listen: str, ask: str) -> None:
    assert reachable(listen) == ask
