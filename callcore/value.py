"""Values: dataclasses that nobody changes, checked by mypy and not at run time.

A frozen dataclass sets each field through object.__setattr__, which made a sixth of the Python that a call costs in
the proxy. These are made as fast as a class of one's own; who assigns to a field is told so by mypy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def value(cls: type[T], /) -> type[T]: ...


@overload
def value(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True)
def value(cls: Any = None, /, *, kw_only: bool = False) -> Any:
    """Make a class a value: compared and hashed by its fields, with slots, never to be changed."""
    make = dataclass(slots=True, unsafe_hash=True, kw_only=kw_only)
    return make if cls is None else make(cls)
