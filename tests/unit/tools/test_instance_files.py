"""The generated files of an instance."""

from __future__ import annotations

import configparser
import dataclasses
from pathlib import Path

import pytest

from callcore.errors import BadInput
from kalibri.config import PROJECT_ROOT, Config
from kalibri.config_sections import DatabaseConfig, ProxyConfig, RtpConfig
from kalibri.services import node
from tools.instance import files, supervisord


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(home=tmp_path, rtp=RtpConfig(nodes=2), proxy=ProxyConfig(listen_address="192.0.2.7"))


def test_kamailio_is_told_every_name_that_its_configuration_uses(config: Config) -> None:
    used = (PROJECT_ROOT / "conf" / "kamailio.cfg").read_text()
    defined = files.kamailio_definitions(config, "secret")
    assert all(name in defined for name in {word for word in _words(used) if word.startswith("KS_")})


def _words(text: str) -> list[str]:
    return "".join(char if char.isalnum() or char == "_" else " " for char in text).split()


def test_no_name_is_the_beginning_of_another(config: Config) -> None:
    """Kamailio replaces them one after the other, wherever they stand."""
    names = files.kamailio_definitions(config, "secret")
    assert [(a, b) for a in names for b in names if a != b and a in b] == []


def test_kamailio_reads_our_values_before_the_projects_configuration(config: Config) -> None:
    lines = files.kamailio_cfg(config, "secret").splitlines()
    assert lines[0] == "#!KAMAILIO"
    assert '#!substdef "!KS_LISTEN_ADDR!192.0.2.7!g"' in lines
    assert f'include_file "{PROJECT_ROOT}/conf/kamailio.cfg"' in lines


def test_each_controller_is_a_set_of_its_own(config: Config) -> None:
    assert files.kamailio_cfg(config, "secret").splitlines()[-2:] == [
        'modparam("rtpproxy", "rtpproxy_sock", "1 == udp:127.0.0.1:22100")',
        'modparam("rtpproxy", "rtpproxy_sock", "2 == udp:127.0.0.1:22110")',
    ]


@pytest.mark.parametrize("bad", ['a"b', "a!b", "a\nb", "a\\b", "$avp(x)"])
def test_a_value_that_would_break_out_of_its_line_is_refused(config: Config, bad: str) -> None:
    with pytest.raises(BadInput, match="KS_AUTH_SECRET"):
        files.kamailio_cfg(config, bad)


def test_kamailio_goes_to_a_database_elsewhere_by_its_address(tmp_path: Path) -> None:
    dsn = "host=db1.example port=6543 dbname=k user=kalibri"
    config = Config(home=tmp_path, database=DatabaseConfig(dsn=dsn))
    url = files.kamailio_db_url(config)
    assert url.startswith("postgres://kamailio:")
    assert url.endswith("@db1.example:6543/k")


def test_each_node_has_its_own_number_and_keeps_it() -> None:
    assert node.server_id("n1") == node.server_id("n1") != node.server_id("n2")
    assert 0 < node.server_id("n1") < 2**31


def test_files_are_private_and_left_alone_when_nothing_changed(config: Config) -> None:
    files.write_files(config)
    first = {path: path.stat().st_mtime_ns for path in config.home.rglob("*") if path.is_file()}
    files.write_files(config)
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert {path.stat().st_mode & 0o077 for path in first if path.suffix != ".lock"} == {0}


def test_a_certificate_of_our_own_is_made_once_and_only_where_none_is_configured(config: Config) -> None:
    files.write_files(config)
    own, key = files.certificate_files(config)
    assert own.read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert key.stat().st_mode & 0o777 == 0o600
    before = own.read_bytes()
    files.write_files(config)
    assert own.read_bytes() == before
    given = ProxyConfig(tls_certificate=Path("/c.pem"), tls_private_key=Path("/k.pem"))
    assert files.certificate_files(dataclasses.replace(config, proxy=given)) == (
        Path("/c.pem"),
        Path("/k.pem"),
    )


def test_a_home_whose_sockets_would_have_too_long_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too long"):
        files.make_folders(Config(home=tmp_path / ("x" * 100)))


def test_the_stun_server_touches_nothing_outside_the_home(config: Config) -> None:
    text = files.turnserver_conf(config)
    paths = [line.partition("=")[2] for line in text.splitlines() if "=/" in line]
    assert paths
    assert all(path.startswith(str(config.home)) for path in paths)
    assert "$" not in text.replace("$ ", "").split("stun-only")[1]


def test_supervisord_gets_a_program_for_each_process_and_takes_a_percent_sign_literally(
    tmp_path: Path,
) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(supervisord.configuration(Config(home=tmp_path / "100%", rtp=RtpConfig(nodes=2))))
    programs = [name.removeprefix("program:") for name in parser.sections() if name.startswith("program:")]
    assert programs[:3] == ["postgres", "rtp-1", "rtp-2"]
    assert "100%%" in parser["program:postgres"]["environment"]
    assert parser["program:postgres"]["stopsignal"] == "INT"
