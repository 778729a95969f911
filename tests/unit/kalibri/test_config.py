"""Configuration: precedence, refusals that name the place and the key, and the sample file as the manual."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
import yaml

from kalibri.config import PROJECT_ROOT, SAMPLE_FILE, Config, ConfigError, key_names, load_config


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "kalibri.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def load(tmp_path: Path, text: str = "", **environ: str) -> Config:
    return load_config(path=write(tmp_path, text), environ=environ)


def refusal(tmp_path: Path, text: str = "", **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environ)
    return caught.value.message


def test_sample_file_says_exactly_the_defaults(tmp_path: Path) -> None:
    assert load_config(path=SAMPLE_FILE, environ={}) == load(tmp_path, "")


def test_sample_file_has_every_key_in_the_order_of_the_code() -> None:
    sample = yaml.safe_load(SAMPLE_FILE.read_text(encoding="utf-8"))
    names = []
    for name, value in sample.items():
        names += [f"{name}.{sub}" for sub in value] if isinstance(value, dict) else [name]
    assert names == key_names()


def test_sample_file_explains_every_key() -> None:
    explained = {
        "tls_private_key",
        "min_expires_seconds",
        "max_expires_seconds",
        "port_max",
    }  # with the key before
    lines = SAMPLE_FILE.read_text(encoding="utf-8").splitlines()
    for before, line in itertools.pairwise(lines):
        key = line.strip().partition(":")[0]
        is_key = line.startswith("  ") and not line.strip().startswith("#")
        assert not is_key or key in explained or before.strip().startswith("#"), line


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = write(tmp_path, "proxy: {sip_port: 6000, tls_port: 6001, internal_port: 6002}")
    config = load_config(
        path=path,
        environ={"KALIBRI_PROXY_SIP_PORT": "7000", "KALIBRI_PROXY_TLS_PORT": "7001"},
        overrides={"proxy.sip_port": "8000"},
    )
    assert (config.proxy.sip_port, config.proxy.tls_port, config.proxy.internal_port) == (8000, 7001, 6002)
    assert config.proxy.workers == 4


def test_file_named_by_environment_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "node_name: n7")
    assert load_config(environ={"KALIBRI_CONFIG": str(path)}).node_name == "n7"


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_config(path=tmp_path / "nowhere.yaml", environ={})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("proxy:\n  sip_prot: 5060", "line 2: unknown key proxy.sip_prot (did you mean proxy.sip_port?)"),
        ("sip_port: 5060", "unknown key sip_port (did you mean proxy.sip_port?)"),
        ("zebra: 1", "unknown key zebra"),
        ("proxy: {sip_port: 0}", "proxy.sip_port is 0, but must be 1 to 65535"),
        ("proxy: {sip_port: many}", "proxy.sip_port is 'many', but must be a whole number"),
        ("proxy: {sip_port: 5060.5}", "proxy.sip_port is 5060.5, but must be a whole number"),
        ("proxy: {sip_port: yes}", "proxy.sip_port is True, but must be a whole number"),
        ("proxy: {sip_port: null}", "proxy.sip_port must have a value"),
        ("proxy: {sip_port: [5060]}", "proxy.sip_port must be one value"),
        ("proxy: 5060", "proxy must hold keys and values"),
        ("- proxy", "the file must hold keys and values"),
        ("proxy: {sip_port: 1, sip_port: 2}", "proxy.sip_port is given twice"),
        (
            "proxy: {listen_address: localhost}",
            "proxy.listen_address is 'localhost', but must be an IP address",
        ),
        ("proxy: {digest_algorithm: md5}", "proxy.digest_algorithm is 'md5', but must be MD5 or SHA-256"),
        ("routing: {home_country_code: 7}", "home_country_code is 7, but must be text (put it in quotes)"),
        ("stun: {enabled: maybe}", "stun.enabled is 'maybe', but must be true or false"),
        ("node_name: a-b", "node_name is 'a-b', but must be 1 to 32 letters, digits, _ or . (no hyphen)"),
        ("home: 'a%b'", "but must be a path without quotes"),
        ("a: [", "not valid YAML"),
        ("rtp: {port_min: 20000, port_max: 15000}", "must be smaller than rtp.port_max"),
        ("proxy: {tls_certificate: a.pem}", "must be given together"),
        ("proxy: {min_expires_seconds: 900}", "does not hold"),
        (
            "proxy: {tls_port: 5060}",
            "proxy.sip_port and proxy.tls_port want the same port of 127.0.0.1 (5060)",
        ),
        ("rtp: {control_base_port: 11000}", "rtp.control_base_port and rtp.port_min want the same port"),
    ],
)
def test_wrong_file_is_refused_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_refusal_names_the_file_and_the_line(tmp_path: Path) -> None:
    text = refusal(tmp_path, "proxy:\n  workers: 4\n  tcp_workers: 9999\n")
    assert text.startswith(f"{tmp_path}/kalibri.yaml, line 3: proxy.tcp_workers is 9999")


def test_refusal_names_the_environment_variable(tmp_path: Path) -> None:
    assert "environment variable KALIBRI_RTP_NODES: rtp.nodes is 'x'" in refusal(
        tmp_path, KALIBRI_RTP_NODES="x"
    )


def test_unknown_key_in_the_environment_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, KALIBRI_PROXY_SIPPORT="1")
    assert message == (
        "environment variable KALIBRI_PROXY_SIPPORT: no such key (did you mean KALIBRI_PROXY_SIP_PORT?)"
    )


def test_environment_of_other_programs_is_left_alone(tmp_path: Path) -> None:
    assert load(tmp_path, KALIBRI_STATE="/x", KALIBRI_TENANT="y") == load(tmp_path)


def test_unknown_key_on_the_command_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"command line: unknown key proxy\.port"):
        load_config(path=write(tmp_path, ""), environ={}, overrides={"proxy.port": "1"})


def test_words_for_nothing_unset_a_nullable_key(tmp_path: Path) -> None:
    config = load(tmp_path, "rtp: {nodes: 3}", KALIBRI_RTP_NODES="none")
    assert config.rtp.nodes is None
    assert config.rtp_nodes >= 1


def test_booleans_are_understood_from_the_environment(tmp_path: Path) -> None:
    assert load(tmp_path, KALIBRI_STUN_ENABLED="off").stun.enabled is False
    assert load(tmp_path, KALIBRI_STUN_ENABLED="Yes").stun.enabled is True


def test_home_of_the_file_starts_from_the_project_and_of_the_command_line_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "home: mine")
    assert load_config(path=path, environ={}).home == PROJECT_ROOT / "mine"
    assert load_config(path=path, environ={"KALIBRI_BASE": "/srv"}).home == Path("/srv/mine")
    assert load_config(path=path, environ={"KALIBRI_HOME": "b/../c"}).home == tmp_path / "c"
    assert load_config(path=path, environ={}, overrides={"home": "/h"}).home == Path("/h")


def test_paths_below_a_section_start_from_home(tmp_path: Path) -> None:
    config = load(
        tmp_path, "{home: /h, journal: {directory: j}, proxy: {tls_certificate: c, tls_private_key: /k}}"
    )
    assert config.journal_directory == Path("/h/j")
    assert (config.proxy.tls_certificate, config.proxy.tls_private_key) == (Path("/h/c"), Path("/k"))


def test_everything_of_an_instance_lies_below_home() -> None:
    config = Config(home=Path("/h"))
    names = [name for name in dir(Config) if isinstance(getattr(Config, name), property)]
    paths = [value for value in (getattr(config, name) for name in names) if isinstance(value, Path)]
    assert len(paths) >= 12
    assert all(path.is_relative_to("/h") for path in paths)
    assert config.database_dsn == "host='/h/pg' port=5432 dbname=kalibri user=kalibri"


def test_configured_dsn_counts() -> None:
    config = Config(database=dataclasses.replace(Config().database, dsn="host=db1"))
    assert (config.database_dsn, config.private_database) == ("host=db1", False)
