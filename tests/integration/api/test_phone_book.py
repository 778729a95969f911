"""Phones load the address book of their tenant over HTTP, and nobody else's."""

from __future__ import annotations

import base64
import http.client
from xml.etree import ElementTree

from callcore.states import ApiScope
from kalibri.db import Conn
from kalibri.services import addressbook
from tests.support.builders import make_account, make_tenant
from tests.support.fix_api import Api


def load(api: Api, form: str, token: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=20)
    encoded = base64.b64encode(f"phone:{token}".encode()).decode()
    connection.request(
        "GET", f"/v1/addressbook/{form}", headers={"Authorization": f"Basic {encoded}"} if token else {}
    )
    answer = connection.getresponse()
    found = answer.status, answer.getheader("Content-Type", ""), answer.read()
    connection.close()
    return found


def test_phones_load_their_tenants_book(api: Api, db: Conn) -> None:
    ids = {name: make_tenant(db, name) for name in ("acme", "rival")}
    token, rival = (api.token(name, ApiScope.READ, ApiScope.AGENT) for name in ids)
    addressbook.add(db, tenant_id=ids["acme"], name="Склад", number="+74951234567", note="ночью")
    addressbook.add(db, tenant_id=ids["rival"], name="Secret", number="101")
    make_account(db, ids["acme"], "101", display_name="Eve")
    status, media_type, body = load(api, "contacts.vcf", token)
    assert (status, media_type) == (200, "text/vcard; charset=utf-8")
    assert "FN:Склад\r\n" in body.decode()
    status, _, body = load(api, "yealink.xml?colleagues=1", token)
    names = [entry.findtext("Name") for entry in ElementTree.fromstring(body)]
    assert (status, names) == (200, ["Eve", "Склад"])
    assert b"Secret" in load(api, "cisco.xml", rival)[2]
    assert load(api, "other.xml", token)[0] == 404
    assert load(api, "contacts.vcf", "")[0] == 401
    assert load(api, "contacts.vcf", "ks_1_wrong")[0] == 401
