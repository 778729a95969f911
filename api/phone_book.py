"""The address book of a tenant as files that phones load over HTTP.

    GET /v1/addressbook/contacts.vcf | yealink.xml | cisco.xml | grandstream.xml [?colleagues=1]

A phone knows only user name and password: the token (scope agent) is the password of HTTP Basic, or a Bearer. With
colleagues=1, which needs the scope read too, the accounts of the tenant come first, by their display names.
"""

from __future__ import annotations

import base64
import binascii
import json

from twisted.web.resource import Resource
from twisted.web.server import Request

from api.events.http import one
from api.http import bearer, peer, reply, run
from api.rpc import Answer, RpcServer
from callcore.errors import NotFound
from callcore.phone_book import FORMS, Contact
from kalibri.config_sections import ApiConfig
from kalibri.services.token import Forbidden, Unauthorized


def password(request: Request) -> str:
    """Return the password of HTTP Basic (RFC 7617), empty if there is none."""
    kind, _, encoded = str(request.getHeader("authorization") or "").partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]


class PhoneBookResource(Resource):
    """GET /v1/addressbook/…"""

    isLeaf = True

    def __init__(self, config: ApiConfig, server: RpcServer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._config = config
        self._server = server

    def render_GET(self, request: Request) -> int:
        """Answer with the address book."""
        return run(request, self._answer(request))

    async def _answer(self, request: Request) -> Answer | None:
        try:
            contacts = await self._contacts(request)
        except Unauthorized as error:
            # A phone sends its password when it is asked for one.
            return Answer(
                json.dumps({"error": error.message}), 401, {"WWW-Authenticate": 'Basic realm="address book"'}
            )
        except Forbidden as error:
            return Answer(json.dumps({"error": error.message}), 403)
        except NotFound as error:
            return Answer(json.dumps({"error": error.message}), 404)
        media_type, write = FORMS[_form(request)]
        reply(request, Answer(write(contacts)), media_type)
        return None

    async def _contacts(self, request: Request) -> list[Contact]:
        if _form(request) not in FORMS:
            raise NotFound(f"there is {', '.join(FORMS)}")
        token = bearer(request) or password(request)
        if not token:
            raise Unauthorized("a token is needed, as password")
        principal = await self._server.principal(token=token, address=peer(request, self._config))
        tenant = {"tenant": one(request, "tenant")} if principal.is_system else {}
        entries = json.loads(await self._server.call(principal, "addressbook.list", tenant))
        found = [Contact(entry["name"], entry["number"], entry["note"]) for entry in entries]
        if one(request, "colleagues") != "1":
            return found
        accounts = json.loads(await self._server.call(principal, "account.list", tenant))
        own = [
            Contact(account["display_name"] or account["username"], account["username"])
            for account in accounts
            if account["enabled"]
        ]
        return own + found


def _form(request: Request) -> str:
    return b"/".join(request.postpath or []).decode("utf-8", "replace")
