"""Writes what a benchmark measured: a table for people, one flat JSON file for programs. Names stay stable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

OUT = Path(__file__).parent / "out"


def write_report(name: str, metrics: Mapping[str, float]) -> Path:
    """Print a table and put the metrics into bench/out/<name>.json, beside those of other parts of the report."""
    width = max(len(metric) for metric in metrics)
    for metric, value in metrics.items():
        print(f"  {metric:<{width}}  {value:,.4g}")
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **metrics}, indent=1, sort_keys=True) + "\n")
    print(f"written to {path}")
    return path
