"""Metrics of the controller and its nodes as Prometheus text, version 0.0.4. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

#: One metric: name, type, help, and its values with their labels.
Metric = tuple[str, str, str, Iterable[tuple[Mapping[str, str], float]]]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(metrics: Iterable[Metric]) -> str:
    """Return the text of metrics."""
    return "".join(_lines(metrics))


def _lines(metrics: Iterable[Metric]) -> Iterator[str]:
    for name, kind, text, values in metrics:
        yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
        for labels, value in values:
            told = ",".join(f'{key}="{_escape(label)}"' for key, label in labels.items())
            yield f"{name}{{{told}}} {value:.10g}\n" if told else f"{name} {value:.10g}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
