"""Which module of the project imports which, read from the sources: nothing is imported to find out.

Imports inside functions count as those at the top; those under `if TYPE_CHECKING` never happen and do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kalibri.config import PROJECT_ROOT

PACKAGES = ("api", "callcore", "kalibri", "kemi", "rtpproxy_ctl", "sems_apps", "tools")


@dataclass(frozen=True)
class Module:
    """One module of the project."""

    name: str
    tree: ast.Module
    #: Modules of the project that it imports.
    own: frozenset[str]
    #: Other modules, by their full name.
    foreign: frozenset[str]

    @property
    def docstring(self) -> str:
        """What it says of itself."""
        return ast.get_docstring(self.tree) or ""


@cache
def project() -> Mapping[str, Module]:
    """Return every module of the product by its name."""
    files = {_name(path): path for package in PACKAGES for path in (PROJECT_ROOT / package).rglob("*.py")}
    return {name: _module(name, path, files) for name, path in sorted(files.items())}


def reached(start: str) -> dict[str, tuple[str, ...]]:
    """Return every module that an import of `start` loads, itself too, with the way that leads there."""
    modules = project()
    ways: dict[str, tuple[str, ...]] = {start: (start,)}
    todo = [start]
    while todo:
        name = todo.pop()
        for further in sorted(modules[name].own - ways.keys()):
            ways[further] = (*ways[name], further)
            todo.append(further)
    return ways


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts).removesuffix(".__init__")


def _module(name: str, path: Path, files: Mapping[str, Path]) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {found for node in _really(tree) for found in _imported(node, files)}
    own = {item for item in imported if item.split(".")[0] in PACKAGES}
    return Module(name, tree, frozenset(own), frozenset(imported - own))


def _really(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree without what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _really(node)


def _imported(node: ast.AST, files: Mapping[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.module is not None, "imports begin at the root of the project"
        for alias in node.names:
            part = f"{node.module}.{alias.name}"
            yield part if part in files else node.module
