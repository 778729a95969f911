"""One method of the API: a declaration, from which its parameters, their checks and its document follow.

    METHODS = (
        Method("gateway.list", gateways.list_gateways, Scope.READ, Tenancy.FILTER),
        Method("gateway.add", gateways.add, Scope.ADMIN, Tenancy.OWNER, more=Fields(GatewaySettings, without=(...))),
    )

Parameters are those of the service function, with their type hints: what does not fit is refused with every
error named, before anything is done. The first parameter of the function is the connection, or `Context` if it
says so. `tenant_id` becomes the parameter `tenant` (a name) by the rule of `Tenancy`; `file: Path` becomes
`csv`, the text of the file. `narrow` says where a caller may give less than the service takes (a page of at most
1000 rows). A method that needs more is a small adapter beside its declaration (api/methods).

Never does anything itself: api/execution.py calls, kalibri/services does.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic
from pydantic import ConfigDict, Field, create_model

from callcore.errors import BadInput
from callcore.states import ApiScope
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services.token import Principal

#: What a token must allow.
Scope = ApiScope


class Tenancy(StrEnum):
    """How a method finds its tenant."""

    #: One tenant: a tenant's token has its own, a system token names one.
    ONE = "one"
    #: As ONE, but a system token that names none means the system itself.
    OWNER = "owner"
    #: A tenant's token has its own, a system token may name one or look at all.
    FILTER = "filter"
    #: No parameter: row-level security shows a tenant's token its own rows, a system token sees all.
    ROWS = "rows"
    #: For system tokens only.
    SYSTEM = "system"


class BadParameters(BadInput):
    """The parameters do not fit the method."""

    error_id = "bad-parameters"


@dataclass(frozen=True, kw_only=True)
class Context:
    """What an adapter may need besides the connection."""

    conn: Conn
    config: Config
    principal: Principal
    now: datetime


@dataclass(frozen=True)
class Fields:
    """Which fields of a dataclass a function takes as **keywords; what is not given stays or is the default."""

    of: type
    without: tuple[str, ...] = ()
    #: Must be given.
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method."""

    name: str
    hint: Any
    required: bool
    #: What counts when it is not given, as far as a reader of the document needs it.
    default: Any = None
    description: str = ""


#: Parameters that a caller cannot give.
_INTERNAL = frozenset({"tenant_id", "progress", "clock", "sleep", "index_dir"})
_CSV = "csv"
#: PostgreSQL's integer; what is larger cannot be meant.
_INTEGER = typing.Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
_TEXT = typing.Annotated[str, Field(max_length=100_000)]


@dataclass(frozen=True)
class Method:
    """A method; see the module."""

    name: str
    do: Callable[..., Any]
    scope: Scope
    tenancy: Tenancy
    more: Fields | None = None
    #: The parameter that names an account: for the token of an account it is its own name, whatever is said.
    account: str | None = None
    #: Parameters of `do` that are not offered.
    hide: tuple[str, ...] = ()
    #: Tighter types of parameters of `do`: what a caller may give is not always all that the service takes.
    narrow: Mapping[str, Any] = field(default_factory=dict, hash=False)
    #: False: the function needs transactions of its own (an isolation level, a long wait).
    one_transaction: bool = True

    @cached_property
    def hints(self) -> Mapping[str, Any]:
        """Type hints of the function."""
        return {**typing.get_type_hints(self.do, include_extras=True), **self.narrow}

    @cached_property
    def wants_context(self) -> bool:
        """Whether the function takes a Context instead of a connection."""
        first = next(iter(inspect.signature(self.do).parameters))
        return self.hints.get(first) is Context

    @property
    def takes_tenant(self) -> bool:
        """Whether the function has a parameter tenant_id."""
        return "tenant_id" in inspect.signature(self.do).parameters

    @property
    def summary(self) -> str:
        """The first line of what the function says of itself."""
        return (inspect.getdoc(self.do) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """The rest of it."""
        return " ".join((inspect.getdoc(self.do) or "").partition("\n")[2].split())

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What a caller may give, in order."""
        own = [self._own(item) for item in list(inspect.signature(self.do).parameters.values())[1:]]
        told = [parameter for parameter in own if parameter is not None]
        names = {parameter.name for parameter in told}
        more = [parameter for parameter in _fields(self.more) if parameter.name not in names]
        tenant = []
        if self.takes_tenant:
            must = self.tenancy is Tenancy.SYSTEM
            hint = str if must else str | None
            tenant = [Parameter("tenant", hint, must, None, _TENANT_TEXTS[self.tenancy])]
        return (*tenant, *told, *more)

    def _own(self, item: inspect.Parameter) -> Parameter | None:
        if item.kind is item.VAR_KEYWORD or item.name in _INTERNAL or item.name in self.hide:
            return None
        hint = self.hints[item.name]
        if hint is Path:
            return Parameter(_CSV, _TEXT_OF_FILE, True, None, "The text of the file.")
        required = item.default is item.empty and item.name != self.account
        default = None if item.default is item.empty else item.default
        return Parameter(item.name, _bounded(hint), required, default)

    @cached_property
    def model(self) -> type[pydantic.BaseModel]:
        """What checks the parameters."""
        fields: dict[str, Any] = {
            parameter.name: (parameter.hint, ... if parameter.required else None)
            for parameter in self.parameters
        }
        config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
        return create_model(self.name.replace(".", "_"), __config__=config, **fields)

    @cached_property
    def result(self) -> pydantic.TypeAdapter[Any]:
        """What writes the result as JSON."""
        hint = self.hints.get("return", Any)
        return pydantic.TypeAdapter(str if typing.get_origin(hint) is Iterator else hint)

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as the function takes them, only those given; raises BadParameters."""
        try:
            checked = self.model.model_validate_json(json.dumps(given))
        except pydantic.ValidationError as error:
            raise _refusal(error) from None
        return {name: getattr(checked, name) for name in checked.model_fields_set}

    def by_position(self, given: list[Any]) -> dict[str, Any]:
        """Return parameters that came as an array by their names; raises BadParameters."""
        if len(given) > len(self.parameters):
            raise BadParameters(f"{len(given)} parameters, but the method has {len(self.parameters)}")
        return {parameter.name: value for parameter, value in zip(self.parameters, given, strict=False)}


_TEXT_OF_FILE = typing.Annotated[str, Field(max_length=64_000_000)]

_TENANT_TEXTS = {
    Tenancy.ONE: "Name of the tenant; a tenant's token needs none, a system token does.",
    Tenancy.OWNER: "Name of the owner; for a system token the default is system, for everybody.",
    Tenancy.SYSTEM: "Name of the tenant.",
    Tenancy.FILTER: "Name of the tenant; a system token that names none means all.",
}


def _fields(more: Fields | None) -> list[Parameter]:
    if more is None:
        return []
    hints = typing.get_type_hints(more.of, include_extras=True)
    return [
        Parameter(item.name, _bounded(hints[item.name]), item.name in more.required, _default(item))
        for item in dataclasses.fields(more.of)
        if item.name not in more.without
    ]


def _default(item: dataclasses.Field[Any]) -> Any:
    if item.default is not dataclasses.MISSING:
        return item.default
    return item.default_factory() if item.default_factory is not dataclasses.MISSING else None


def _bounded(hint: Any) -> Any:
    """Keep whole numbers and texts within what the database takes."""
    if hint is int:
        return _INTEGER
    if hint is str:
        return _TEXT
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if not parts or origin in (typing.Annotated, typing.Literal):
        return hint
    bounded = tuple(_bounded(part) for part in parts)
    if bounded == parts:
        return hint
    if origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        return typing.Union[bounded]  # noqa: UP007 (made at run time)
    return origin[bounded] if origin is not None else hint


def _refusal(error: pydantic.ValidationError) -> BadParameters:
    """Name every parameter that is wrong."""
    problems = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"]) or "parameters"
        what = {"extra_forbidden": "the method has no such parameter", "missing": "is missing"}
        problems.append({"parameter": where, "problem": what.get(item["type"], item["msg"])})
    told = "; ".join(f"{item['parameter']}: {item['problem']}" for item in problems)
    return BadParameters(told, problems=problems)
