"""Certificates for TLS: are they there, do they belong together, how long are they good?"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callcore.errors import Unavailable
from tools.doctor.facts import Facts
from tools.doctor.finding import Finding, fail, graded
from tools.instance.files import certificate_files

CHECK = "certificates"
WARN_BEFORE = timedelta(days=21)


def examine(facts: Facts) -> Iterator[Finding]:
    """Look at the certificate that the proxy shows, and its key."""
    certificate, private_key = certificate_files(facts.config)
    own = facts.config.proxy.tls_certificate is None
    if own and not certificate.exists():
        yield graded(
            CHECK, "none yet: ksinit makes one at the first start", failed=False, warned=False, todo=""
        )
        return
    yield judge(certificate, private_key, now=datetime.now(UTC), own=own)


def judge(certificate: Path, private_key: Path, *, now: datetime, own: bool) -> Finding:
    """Judge a certificate and its key; own: made by ksinit."""
    renew = (
        f"remove {certificate} and ksinit restart kamailio"
        if own
        else "have it renewed, then ksinit restart kamailio"
    )
    for path in (certificate, private_key):
        if not path.exists():
            return fail(CHECK, f"{path} is not there", "put it there, or mend proxy.tls_certificate")
    try:
        expires, public = (
            _expires(certificate),
            _openssl("x509", "-in", str(certificate), "-noout", "-pubkey"),
        )
        matching = public == _openssl("pkey", "-in", str(private_key), "-pubout", "-passin", "pass:")
    except Unavailable as error:
        return fail(CHECK, error.message, "have PEM files of a certificate and of its key without passphrase")
    if not matching:
        return fail(
            CHECK, f"{private_key} is not the key of {certificate}", "put both files of one pair there"
        )
    who = "self-signed, " if own else ""
    return graded(
        CHECK,
        f"{certificate}: {who}good until {expires:%Y-%m-%d %H:%M} UTC",
        failed=expires <= now,
        warned=expires <= now + WARN_BEFORE,
        todo=renew,
    )


def _expires(certificate: Path) -> datetime:
    text = _openssl("x509", "-in", str(certificate), "-noout", "-enddate", "-dateopt", "iso_8601")
    return datetime.fromisoformat(text.strip().removeprefix("notAfter="))


def _openssl(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["openssl", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable("openssl does not end") from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        raise Unavailable(f"{arguments[2]} cannot be read: {reason[0] if reason else 'openssl failed'}")
    return done.stdout
