"""The OpenRPC document (rpc.discover), generated from the declarations and type hints of the methods.

Decides only how they are written down. See https://spec.open-rpc.org, version 1.3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import Field, TypeAdapter

from api.jsonrpc import Code
from api.method import Method, Parameter, Scope, Tenancy
from kalibri.db import Conn
from kalibri.services import token as tokens
from kalibri.services.token import NewToken

VERSION = "1.0.0"
REFERENCE = "#/components/schemas/{model}"

Short = Annotated[str, Field(max_length=256)]


def log_in(conn: Conn, *, username: Short, place: Short, password: Short) -> NewToken:
    """Give an account a token for its shift; place: the name of its tenant, or a domain of it.

    Needs no token. The password is that of the SIP account. Raises Unauthorized, equally for an unknown account
    and a wrong password.
    """
    return tokens.log_in(conn, username=username, place=place, password=password)


def discover(conn: Conn) -> dict[str, Any]:
    """Return this document. Needs no token."""
    raise NotImplementedError  # api/rpc.py answers with the document that it was given


LOGIN_METHOD = Method("session.login", log_in, Scope.READ, Tenancy.ROWS)
DISCOVER_METHOD = Method("rpc.discover", discover, Scope.READ, Tenancy.ROWS)
#: Answered without a token.
OPEN_METHODS = (LOGIN_METHOD, DISCOVER_METHOD)


def document(methods: Mapping[str, Method]) -> dict[str, Any]:
    """Return the OpenRPC document of these methods and of those that need no token."""
    every = sorted([*methods.values(), *OPEN_METHODS], key=lambda method: method.name)
    inputs = [
        ((method.name, parameter.name), "validation", TypeAdapter(parameter.hint))
        for method in every
        for parameter in method.parameters
    ]
    outputs = [((method.name, ""), "serialization", method.result) for method in every]
    schemas, definitions = TypeAdapter.json_schemas(
        [*inputs, *outputs],  # type: ignore[list-item]
        ref_template=REFERENCE,
    )
    found: dict[tuple[str, str], Any] = {key: schema for (key, _mode), schema in schemas.items()}
    return {
        "openrpc": "1.3.2",
        "info": {
            "title": "Kalibri",
            "version": VERSION,
            "description": "Softswitch and call centre: everything that ksctl does, tenant by tenant.",
        },
        "methods": [_method(method, found) for method in every],
        "components": {"schemas": definitions.get("$defs", {}), "errors": _errors()},
    }


def _method(method: Method, schemas: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    return {
        "name": method.name,
        "summary": method.summary,
        "description": method.description,
        "paramStructure": "either",
        "params": [
            _parameter(parameter, schemas[method.name, parameter.name]) for parameter in method.parameters
        ],
        "result": {"name": "result", "schema": schemas[method.name, ""]},
        "errors": [{"$ref": f"#/components/errors/{code.name}"} for code in Code],
        "x-scope": None if method in OPEN_METHODS else method.scope.value,
        "x-tenancy": method.tenancy.value,
    }


def _parameter(parameter: Parameter, schema: Any) -> dict[str, Any]:
    told = {"name": parameter.name, "required": parameter.required, "schema": schema}
    if parameter.description:
        told["description"] = parameter.description
    if not parameter.required and parameter.default is not None:
        plain = pydantic.TypeAdapter(Any).dump_python(parameter.default, mode="json")
        told["schema"] = {**schema, "default": plain}
    return told


def _errors() -> dict[str, Any]:
    return {code.name: {"code": int(code), "message": code.name.replace("_", " ").lower()} for code in Code}
