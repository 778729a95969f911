"""What the proxy is given in place of the database, and how it is read back."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalibri.config import Config
from tests.support.index_files import gateway_record, write_generation
from tools.instance import alone, files

TRUNK = {
    "trunk_id": 7,
    "username": "0042",
    "domain": "carrier.example",
    "auth_username": "u42",
    "auth_realm": "carrier",
    "auth_ha1": "0" * 32,
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(home=tmp_path)
    made.index_directory.mkdir()
    gateways = {
        "1": gateway_record(1, name="near: one", host="192.0.2.21", trunk=TRUNK),
        "2": gateway_record(2, name="far", host="far.example", transport="tls", port=5061),
        "3": gateway_record(3, name="unprobed", host="192.0.2.23", probe=False),
    }
    write_generation(made.index_directory, system={"tenants": {}, "domains": {}, "gateways": gateways})
    return made


def test_gateways_and_registrations_come_from_the_last_index(config: Config) -> None:
    assert not alone.is_alone(config)
    alone.prepare(config)
    assert alone.is_alone(config)
    dispatcher = alone.read_table(alone.folder(config) / "dispatcher")
    assert [(row["destination"], row["attrs"], row["description"]) for row in dispatcher] == [
        ("sip:192.0.2.21:5060", "gw=1", "near: one"),
        ("sip:far.example:5061;transport=tls", "gw=2", "far"),
    ]
    (registration,) = alone.read_table(alone.folder(config) / "uacreg")
    assert (registration["l_uuid"], registration["auth_proxy"]) == ("t7", "sip:192.0.2.21:5060")
    assert all(alone.read_table(alone.folder(config) / table) == [] for table in alone.KEPT_TABLES)


def test_another_start_without_database_keeps_what_the_first_one_wrote(config: Config) -> None:
    alone.prepare(config)
    dialogs = alone.folder(config) / "dialog_vars"
    dialogs.write_text(dialogs.read_text() + "1:2:3:ks_call:x\n")
    alone.prepare(config)
    (row,) = alone.read_table(dialogs)
    assert (row["hash_entry"], row["dialog_key"], row["dialog_value"]) == ("2", "ks_call", "x")


def test_without_an_index_there_are_no_gateways(tmp_path: Path) -> None:
    made = Config(home=tmp_path)
    made.index_directory.mkdir()
    alone.prepare(made)
    assert alone.read_table(alone.folder(made) / "dispatcher") == []


@given(st.lists(st.text(string.printable + "ж:\\"), min_size=1, max_size=5))
def test_what_is_escaped_is_read_back(values: list[str]) -> None:
    line = ":".join(alone.escape(value) for value in values)
    assert "\n" not in line
    assert alone.split_row(line) == values


def test_the_configuration_without_database_differs_in_the_database_only(config: Config) -> None:
    files.make_folders(config)
    (config.secrets_directory / "kamailio_password").touch()
    usual = files.kamailio_cfg(config, "secret").splitlines()
    other = files.kamailio_cfg(config, "secret", alone=True).splitlines()
    assert next(line for line in usual if line not in other).startswith('#!substdef "!KS_DB_URL!postgres:')
    assert [line for line in other if line not in usual] == [
        "#!define WITHOUT_DATABASE",
        f'#!substdef "!KS_DB_URL!text://{alone.folder(config)}!g"',
    ]


def test_what_cannot_be_taken_over_is_set_aside(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_config: Config) -> int:
        raise ValueError("no such row")

    alone.prepare(config)
    monkeypatch.setattr(alone, "take_over", refuse)
    said = alone.take_over_if_possible(config)
    assert "no such row" in said
    assert not alone.is_alone(config)
    (aside,) = config.home.glob("kamailio_text.*")
    assert json.dumps(str(aside)).strip('"') in said
