"""What decides how much is dialled imports no database, network or clock of the machine's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kalibri.config import PROJECT_ROOT

MODULES = (
    "callcore.dial_facts",
    "callcore.dial_gateways",
    "tools.dial.agent_first",
    "tools.dial.campaign_state",
    "tools.dial.paced",
    "tools.dial.shared_queues",
)


@pytest.mark.parametrize("module", MODULES)
def test_deciding_code_imports_no_shell(module: str) -> None:
    script = f"import sys, {module}; print(*(name for name in sys.modules if '.' not in name or 'kalibri' in name))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert not {"psycopg", "socket", "kalibri"} & {name.split(".")[0] for name in done.stdout.split()}
