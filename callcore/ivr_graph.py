"""A scenario as a drawing: text of Graphviz's language, which the program `dot` turns into SVG or PNG. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from callcore.ivr_model import Branch, Hangup, Mailbox, Node, NodeKind, Queue, Scenario, Sub, Transfer

_SHAPES: Mapping[NodeKind, str] = {
    NodeKind.MENU: "hexagon",
    NodeKind.COLLECT: "hexagon",
    NodeKind.BRANCH: "diamond",
    NodeKind.HTTP: "cylinder",
    NodeKind.LOOKUP: "cylinder",
    NodeKind.QUEUE: "house",
    NodeKind.TRANSFER: "house",
    NodeKind.HANGUP: "octagon",
    NodeKind.RETURN: "octagon",
    NodeKind.SCENARIO: "component",
}
_LONGEST_LABEL = 60


def to_dot(scenario: Scenario, title: str, visits: Mapping[str, int] | None = None) -> str:
    """Return the drawing; visits: how many calls came through each node, told in it."""
    lines = [
        "digraph scenario {",
        f"  label={_quoted(title)}; labelloc=t; rankdir=TB;",
        '  node [shape=box, style="rounded,filled", fillcolor="#f4f6fa", fontname="sans-serif", fontsize=10];',
        '  edge [fontname="sans-serif", fontsize=9];',
        '  "start:" [shape=circle, label="", width=0.2, fillcolor="#334155"];',
        f'  "start:" -> {_quoted(scenario.start)};',
    ]
    for node in scenario.nodes.values():
        lines.append(f"  {_quoted(node.name)} [{_attributes(node, visits)}];")
        for way in node.exits():
            style = ', style=dashed, color="#b91c1c"' if way.label == "on_failure" else ""
            label = "" if way.label == "next" else way.label.replace("on_failure", "failure")
            lines.append(f"  {_quoted(node.name)} -> {_quoted(way.to)} [label={_quoted(label)}{style}];")
    return "\n".join([*lines, "}", ""])


def _attributes(node: Node, visits: Mapping[str, int] | None) -> str:
    label = [node.name, _what(node)]
    if visits is not None:
        label.append(f"{visits.get(node.name, 0)} calls")
    text = "\n".join(part[:_LONGEST_LABEL] for part in label if part)
    shape = _SHAPES.get(node.kind, "box")
    style = "filled" if shape != "box" else "rounded,filled"
    return f'label={_quoted(text)}, shape={shape}, style="{style}"'


def _what(node: Node) -> str:
    """Say in a few words what a node does."""
    match node:
        case Queue():
            return f"queue {node.queue}"
        case Mailbox():
            return f"mailbox {node.mailbox}"
        case Transfer():
            return f"transfer {node.to_kind}:{node.to}"
        case Sub():
            return f"scenario {node.scenario}"
        case Hangup():
            return f"hang up {node.code or ''}".strip()
        case Branch():
            return "branch"
    said = [item.value if item.kind == "prompt" else f"{item.kind} {item.value}" for item in node.says]
    return f"{node.kind}: {', '.join(said)}" if said else node.kind.value


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
