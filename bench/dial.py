"""Automatic dialling under load: a broadcast through every process of an instance, each lead accounted for.

    make bench-dial                                     table, and bench/out/dial.json
    python -m bench.dial --rates 50,100 --seconds 10    a part of it

For each rate a campaign dials rate × seconds leads: seven of ten answer and hear a message of two seconds, the others
are busy, unknown or do not answer. A rate is clean when the carrier was called at that rate, everybody once, and each
outcome is what the carrier did. CPU is that of the instance's processes. Figures mean something only on a machine that
does nothing else.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass

import click
from psycopg.types.json import Jsonb

from bench.acd_centre import Centre
from bench.dial_carrier import Carrier, code_for
from bench.report import write_report
from callcore.attempt import DialFacts, Outcome, outcome_of
from tests.support.dialled_people import install_prompts
from tests.support.switch import Switch

PREFIX = "7800"
MESSAGE_SECONDS = 2.0
SETTINGS = {"media.hosts": 1, "media.capacity": 2000, "api.enabled": False}
#: A rate counts as reached when so much of it was seen at the carrier.
REACHED = 0.95
DRAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Run:
    """One rate."""

    rate: float
    seen_per_s: float
    wrong: int
    unaccounted: int
    double: int
    delays_ms: list[float]

    @property
    def clean(self) -> bool:
        """Whether the rate was reached without a fault."""
        return self.seen_per_s >= REACHED * self.rate and not (self.wrong or self.unaccounted or self.double)


def expected(number: str) -> Outcome:
    """Return the outcome that a lead must have."""
    code = code_for(number)
    if code == 200:
        return Outcome.ANSWERED
    return outcome_of(DialFacts(code=code, rang=True))


def add_campaign(switch: Switch, rate: float, leads: int, serial: int) -> int:
    """Make a campaign with so many leads; it runs."""
    campaign = switch.insert(
        "campaign",
        tenant_id=switch.tenant_id,
        name=f"bench{serial}",
        mode="broadcast",
        prompt="bench",
        hours="mon-sun 00:00-24:00",
        unknown_zones=["UTC"],
        consent_required=False,
        consent_exemption="bench",
        lines=2000,
        calls_per_second=rate,
        keys=Jsonb({}),
    )["campaign_id"]
    listed = switch.insert("campaign_list", tenant_id=switch.tenant_id, campaign_id=campaign, name="bench")[
        "list_id"
    ]
    ids = {"tenant": switch.tenant_id, "campaign": campaign, "list": listed, "serial": serial, "leads": leads}
    switch.rows(
        "WITH made AS (INSERT INTO lead (tenant_id, campaign_id, list_id, external_id, rank, zone_set_id)"
        f" SELECT %(tenant)s, %(campaign)s, %(list)s, '{PREFIX}' || %(serial)s || lpad(n::text, 6, '0'), 1, 0"
        " FROM generate_series(1, %(leads)s) AS n RETURNING tenant_id, lead_id, campaign_id, external_id)"
        " INSERT INTO lead_number (tenant_id, lead_id, position, campaign_id, number, zone_set_id)"
        " SELECT tenant_id, lead_id, 1, campaign_id, external_id, 0 FROM made RETURNING lead_id",
        ids,
    )
    switch.rows(
        "SELECT campaign_step(%(tenant)s, %(campaign)s, 'start', 'bench')",
        {"tenant": switch.tenant_id, "campaign": campaign},
    )
    return int(campaign)


def run(centre: Centre, carrier: Carrier, rate: float, seconds: int, serial: int) -> Run:
    """Dial one list at a rate."""
    switch, leads = centre.switch, round(rate * seconds)
    campaign = add_campaign(switch, rate, leads, serial)
    statement = "SELECT count(*) AS n FROM lead WHERE campaign_id = %s AND last_outcome <> ''"
    deadline = time.monotonic() + seconds * 3 + DRAIN_SECONDS
    while switch.rows(statement, [campaign])[0]["n"] < leads and time.monotonic() < deadline:
        time.sleep(0.5)
    switch.rows("SELECT campaign_step(%s, %s, 'stop', 'bench')", [switch.tenant_id, campaign])
    attempts = switch.rows(
        "SELECT number, outcome::text, extract(epoch FROM ordered_at)::double precision AS ordered"
        " FROM attempt WHERE campaign_id = %s AND state = 'settled'",
        [campaign],
    )
    outcomes = {row["number"]: row["outcome"] for row in attempts}
    numbers = {f"{PREFIX}{serial}{number:06}" for number in range(1, leads + 1)}
    came = sorted(carrier.invited[number][0] for number in numbers if number in carrier.invited)
    middle = came[len(came) // 10 : -max(1, len(came) // 10)]
    seen = (len(middle) - 1) / (middle[-1] - middle[0]) if len(middle) > 2 else 0.0
    return Run(
        rate,
        seen,
        wrong=sum(outcomes[number] != expected(number) for number in numbers & outcomes.keys()),
        unaccounted=len(numbers - outcomes.keys()),
        double=sum(len(carrier.invited.get(number, ())) > 1 for number in numbers),
        delays_ms=[
            (carrier.invited[row["number"]][0] - row["ordered"]) * 1000
            for row in attempts
            if row["number"] in carrier.invited
        ],
    )


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--rates", default="25,50,75,100", help="Calls a second, with commas, ascending.")
@click.option("--seconds", default=12, help="How long each rate is dialled.")
def main(rates: str, seconds: int) -> None:
    """Dial lists at ascending rates until one is not clean, and write the report."""
    metrics: dict[str, float] = {"originated_per_s_clean": 0.0, "leads_unaccounted": 0.0, "double_dials": 0.0}
    with Centre(SETTINGS) as centre:
        centre.switch.add_route(f"^{PREFIX}", "gateway:carrier", priority=10.0)
        centre.save()
        install_prompts(centre.switch, "bench", seconds=MESSAGE_SECONDS)
        carrier = Carrier(centre.carrier_port)
        try:
            for serial, rate in enumerate((float(text) for text in rates.split(",")), 100):
                before = centre.cpu_seconds()
                done = run(centre, carrier, rate, seconds, serial)
                after = centre.cpu_seconds()
                click.echo(
                    f"{rate:g}/s: seen {done.seen_per_s:.1f}/s, wrong {done.wrong}, double {done.double},"
                    f" unaccounted {done.unaccounted}"
                )
                metrics["leads_unaccounted"] += done.unaccounted
                metrics["double_dials"] += done.double
                if not done.clean:
                    break
                metrics["originated_per_s_clean"] = rate
                metrics |= _costs(done, before, after, rate * seconds)
        finally:
            carrier.stop()
    write_report("dial", {name: value for name, value in metrics.items() if not math.isnan(value)})


def _costs(done: Run, before: dict[str, float], after: dict[str, float], calls: float) -> dict[str, float]:
    """Return CPU for each call and the delay from order to INVITE, of the last clean rate."""
    costs = {
        f"cpu_ms_per_call_{name.replace('-', '_')}": (after[name] - before.get(name, 0.0)) * 1000 / calls
        for name in ("ks-dial", "media-1", "kamailio", "postgres")
        if name in after
    }
    delays = done.delays_ms
    p95 = statistics.quantiles(delays, n=20)[-1] if len(delays) > 1 else math.nan
    return {**costs, "order_to_invite_p95_ms": p95}


if __name__ == "__main__":
    main()
