"""`make demo`: configures a demonstration tenant, places real calls, shows what the switch says of them.

Needs a running instance (ksinit up). Leaves everything running and configured; a second run only places the calls.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kalibri.config import PROJECT_ROOT, Config, load_config
from kalibri.index_dir import read_current
from tools.demo.call_centre import CallCentre
from tools.demo.calls import Outcome, Phones, place_calls
from tools.demo.configuration import (
    DOMAIN,
    TENANT,
    Ports,
    configure,
    configure_centre,
    is_centre_configured,
    is_configured,
)
from tools.demo.kills import Kills

STORED_SECONDS = 60
#: The newest calls of the run; the burst of equal ones is longer than a screen.
SHOWN_CALLS = "12"


class Demo:
    """One run of the demonstration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._console = Console(highlight=False, soft_wrap=True)

    def ksctl(self, *arguments: str, stdin: str = "", quiet: bool = False) -> str:
        """Run ksctl as a person would, showing the command; exits with its message if it fails."""
        if not quiet:
            self._console.print(f"  [dim]$[/dim] ./ksctl {shlex.join(arguments)}", markup=True)
        done = subprocess.run(
            [sys.executable, "-m", "tools.ksctl.main", "--home", str(self._config.home), *arguments],
            cwd=PROJECT_ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"demo: ksctl {shlex.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def run(self) -> bool:
        """Configure, call, show; True when every call went as it should."""
        ports = Ports.beside(self._config)
        if is_configured(self.ksctl):
            self._console.print(f"[bold]Tenant {TENANT} is configured already.[/bold]")
        else:
            self._console.print("[bold]Configuration[/bold]")
            configure(self.ksctl, ports)
        if not is_centre_configured(self.ksctl):
            self._console.print("[bold]Call centre[/bold]")
            configure_centre(self.ksctl)
        self.ksctl("route", "reload", quiet=True)
        began = datetime.now(UTC)
        self._console.print("\n[bold]Calls[/bold] (SIPp phones and carriers, real SIP and RTP)")
        with tempfile.TemporaryDirectory(prefix="kalibri-demo-") as folder:
            phones = Phones(self._config, ports, Path(folder))
            outcomes = [self._tell(outcome) for outcome in place_calls(phones, ports)]
            self._console.print(
                "\n[bold]Kills[/bold] (kill -9; everything must be back, and nothing missing)"
            )
            outcomes += [self._tell(outcome) for outcome in Kills(self._config, phones, ports).outcomes()]
            self._console.print("\n[bold]Call centre[/bold] (two agents, five callers, a callback)")
            centre = CallCentre(self._config, self.ksctl, self._console, phones, ports, Path(folder))
            outcomes += [self._tell(outcome) for outcome in centre.outcomes()]
        wanted = sum(outcome.calls for outcome in outcomes)
        calls = self._wait_stored(began, wanted)
        outcomes.append(self._tell(books(calls, wanted)))
        self._show(began, calls)
        centre.show_story()
        self._where_to_look()
        return all(outcome.ok for outcome in outcomes)

    def _tell(self, outcome: Outcome) -> Outcome:
        mark = "[green]ok  [/green]" if outcome.ok else "[red]FAIL[/red]"
        self._console.print(f"  {mark} {outcome.title}")
        if outcome.detail:
            self._console.print(f"       {outcome.detail}", markup=False)
        return outcome

    def _wait_stored(self, began: datetime, wanted: int) -> list[dict[str, object]]:
        """Wait until ks-cdr has stored the calls of this run."""
        deadline = time.monotonic() + STORED_SECONDS
        while True:
            text = self.ksctl(
                "call", "list", "--since", began.isoformat(), "--limit", "1000", "-o", "json", quiet=True
            )
            calls: list[dict[str, object]] = json.loads(text)
            if (
                sum(call.get("ended_at") is not None for call in calls) >= wanted
                or time.monotonic() > deadline
            ):
                return calls
            time.sleep(0.2)

    def _show(self, began: datetime, calls: list[dict[str, object]]) -> None:
        self._console.print("\n[bold]What the switch says of them[/bold]")
        self._console.print("  [dim]$[/dim] ./ksctl call list")
        self._console.print(
            self.ksctl("call", "list", "--since", began.isoformat(), "--limit", SHOWN_CALLS, quiet=True),
            markup=False,
        )
        tried_two = [call for call in calls if str(call.get("b_number", "")).startswith("8495")]
        if tried_two:
            call_id = str(tried_two[0]["call_id"])
            self._console.print(f"  [dim]$[/dim] ./ksctl call show {call_id}")
            self._console.print(self.ksctl("call", "show", call_id, quiet=True), markup=False)
        self._console.print("  [dim]$[/dim] ./ksctl route test 84957654321 --from 100 -t demo")
        self._console.print(
            self.ksctl("route", "test", "84957654321", "--from", "100", "-t", TENANT, quiet=True),
            markup=False,
        )

    def _where_to_look(self) -> None:
        current = read_current(self._config.index_directory)
        table = Table(box=None, show_header=False, pad_edge=False)
        proxy = self._config.proxy
        table.add_row(
            "register a phone of your own at",
            f"{proxy.listen_address}:{proxy.sip_port} (UDP, TCP), {proxy.tls_port} (TLS)",
        )
        table.add_row("as", f"100@{DOMAIN}, password pw100demo")
        table.add_row("processes", "./ksinit status")
        table.add_row("calls, live and past", "./ksctl call list, ./ksctl call show ID, ./ksctl call live")
        table.add_row(
            "queues, agents", "./ksctl queue live, ./ksctl agent list, ./ksctl recording list -t " + TENANT
        )
        table.add_row("why a number goes where it goes", f"./ksctl route test NUMBER --from 100 -t {TENANT}")
        table.add_row("index generation served", str(current.generation if current else "none"))
        table.add_row("logs, journal", f"{self._config.log_directory}, {self._config.journal_directory}")
        table.add_row("stop", "make down")
        self._console.print("[bold]Where to look[/bold]")
        self._console.print(table)


def books(calls: list[dict[str, object]], wanted: int) -> Outcome:
    """Compare what the switch has stored with what was placed."""
    ended = sum(call.get("ended_at") is not None for call in calls)
    detail = f"{wanted} calls placed, {len(calls)} stored, {ended} of them ended"
    return Outcome("every call is in the books, once", wanted == len(calls) == ended, detail, 0)


def main() -> None:
    """Run the demonstration; exit status 1 if a call did not go as it should."""
    sys.exit(0 if Demo(load_config()).run() else 1)


if __name__ == "__main__":
    main()
