"""Requests that the proxy sends on its own account, and locks of the shared tables: a part of KsrPort. Shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: Locks live in a table of their own: a lock holds a whole slot of its table.
_LOCKS = "lock"
_ITERATOR = "items"


class OwnRequests:
    """What KsrPort adds to requests of others."""

    _ksr: Any

    def send_request(self, request: Mapping[str, str]) -> bool:
        """Send a request of our own by the uac module ($uac_req: method, ruri, furi, turi, hdrs, body, ouri, sock).

        Its final response comes as event uac:reply, with `evparam` of the request.
        """
        for name, value in request.items():
            self._ksr.pv.sets(f"$uac_req({name})", value)
        self._ksr.pv.seti("$uac_req(evroute)", 1)
        return bool(self._ksr.uac.uac_req_send() > 0)

    def send_in_dialog(
        self, method: str, target: str, next_hop: str, socket: str, headers: list[str], body: str
    ) -> bool:
        """Send a request within a dialog of our own; headers: lines with From, To, Call-ID and CSeq."""
        text = "".join(line + "\r\n" for line in headers)
        return bool(self._ksr.tm.t_uac_send(method, target, next_hop, socket, text, body) > 0)

    def tag_recipient(self, tag: str) -> None:
        """Give the To of this request our tag, at once: so the response has it, and we know it."""
        self._ksr.textops.subst_hf("To", f"/^(.*)$/\\1;tag={tag}/", "f")
        self._ksr.textopsx.msg_apply_changes()

    def table_items(self, table: str) -> list[tuple[str, str]]:
        """Return all entries of a shared table, those that come or go meanwhile or not."""
        found: list[tuple[str, str]] = []
        self._ksr.htable.sht_iterator_start(_ITERATOR, table)
        try:
            while self._ksr.htable.sht_iterator_next(_ITERATOR) > 0:
                key, value = (self._ksr.pv.get(f"$shtit{part}({_ITERATOR})") for part in ("key", "val"))
                found.append((str(key), str(value)))
        finally:  # it holds a lock
            self._ksr.htable.sht_iterator_end(_ITERATOR)
        return found

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Keep other processes from what they too do under the lock of this key; never hold two."""
        self._ksr.htable.sht_lock(_LOCKS, key)
        try:
            yield
        finally:
            self._ksr.htable.sht_unlock(_LOCKS, key)
