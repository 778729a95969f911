"""A strict stand-in for Kamailio's KSR module: raises wherever the real one would quietly misbehave.

The real one answers False to a call with wrong arguments and logs it; this one raises. It knows exactly the functions
of the API list that Kamailio 5.6.3 printed (ksr_api.json: name → [return type, argument types]); a name that is not
there raises as the real object does. Values that a test does not give are null, as they are in Kamailio.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

API: dict[str, tuple[str, list[str]]] = {
    name: (entry[0], entry[1])
    for name, entry in json.loads((Path(__file__).parent / "ksr_api.json").read_text()).items()
}
_TYPES = {"str": str, "int": int}
#: pv functions are built into the binding and not in the API list.
_PV = {"get": ["str"], "sets": ["str", "str"], "seti": ["str", "int"], "unset": ["str"], "is_null": ["str"]}


class WrongCall(AssertionError):
    """KSR was called in a way that the real one refuses."""


class FakeKsr:
    """The module object; `pvs` are pseudo-variables, `results` what functions return, `calls` what was called."""

    def __init__(self, pvs: dict[str, Any] | None = None, results: dict[str, Any] | None = None) -> None:
        self.pvs: dict[str, Any] = dict(pvs or {})
        self.results: dict[str, Any] = dict(results or {})
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.tables: dict[str, dict[str, Any]] = {}
        self.dialog_vars: dict[str, str] = {}
        self.iterators: dict[str, list[tuple[str, Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in API:
            return self._function(name)
        if name == "pv" or any(known.startswith(f"{name}.") for known in API):
            return _Module(self, name)
        raise AttributeError(f"module 'KSR' has no attribute {name!r}")

    def _function(self, name: str) -> Callable[..., Any]:
        argument_types = _PV[name[3:]] if name.startswith("pv.") else API[name][1]

        def call(*arguments: Any) -> Any:
            self._check(name, argument_types, arguments)
            self.calls.append((name, arguments))
            special = getattr(self, "_do_" + name.replace(".", "_"), None)
            if name in self.results:
                value = self.results[name]
                return value(*arguments) if callable(value) else value
            return special(*arguments) if special else 1

        return call

    @staticmethod
    def _check(name: str, wanted: list[str], given: tuple[Any, ...]) -> None:
        if len(wanted) != len(given):
            raise WrongCall(f"{name} takes {len(wanted)} arguments, got {given!r}")
        for kind, value in zip(wanted, given, strict=True):
            if type(value) is not _TYPES[kind]:
                raise WrongCall(f"{name}: {value!r} is no {kind}")
            if isinstance(value, str) and "\x00" in value:
                raise WrongCall(f"{name}: NUL in {value!r}")

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of every call of a function."""
        return [arguments for called, arguments in self.calls if called == name]

    # ---- what has a memory

    def _do_pv_get(self, name: str) -> Any:
        if name.startswith("$_s("):
            return b"|".join(self._printed(part) for part in name[4:-1].split("|")).decode()
        value = self._value(name)
        if isinstance(value, bytes):
            return value.decode()  # raises as the real binding does
        return value

    def _value(self, name: str) -> Any:
        if name.startswith("$dlg_var("):
            return self.dialog_vars.get(name[9:-1])
        return self.pvs.get(name)

    def _printed(self, name: str) -> bytes:
        """Return a variable as pv_printf prints it."""
        value = self._value(name)
        if isinstance(value, bytes):
            return value
        return b"<null>" if value is None else str(value).encode()

    def _do_pv_sets(self, name: str, value: str) -> bool:
        if name.startswith("$(avp(") and name.endswith("[*])"):
            name = f"$avp({name[6:-5]})"  # replaces all values
        elif name.startswith("$avp(") and self.pvs.get(name) is not None:
            raise WrongCall(f"{name} would be stacked, not replaced")
        self.pvs[name] = value
        return True

    def _do_pv_seti(self, name: str, value: int) -> bool:
        self.pvs[name] = value
        return True

    def _do_pv_unset(self, name: str) -> bool:
        self.pvs.pop(name, None)
        return True

    def _do_htable_sht_get(self, table: str, key: str) -> Any:
        return self.tables.get(table, {}).get(key)

    def _do_htable_sht_sets(self, table: str, key: str, value: str) -> int:
        self.tables.setdefault(table, {})[key] = value
        return 1

    def _do_htable_sht_rm(self, table: str, key: str) -> int:
        self.tables.setdefault(table, {}).pop(key, None)
        return 1

    def _do_htable_sht_inc(self, table: str, key: str) -> int:
        entries = self.tables.setdefault(table, {})
        entries[key] = entries.get(key, 0) + 1
        return int(entries[key])

    def _do_htable_sht_iterator_start(self, name: str, table: str) -> int:
        if name in self.iterators:
            raise WrongCall(f"iterator {name} is in use: its slot is locked for ever")
        self.iterators[name] = [("", ""), *sorted(self.tables.get(table, {}).items())]
        return 1

    def _do_htable_sht_iterator_next(self, name: str) -> int:
        self.iterators[name].pop(0)
        if not self.iterators[name]:
            return -1
        self.pvs[f"$shtitkey({name})"], self.pvs[f"$shtitval({name})"] = self.iterators[name][0]
        return 1

    def _do_htable_sht_iterator_end(self, name: str) -> int:
        del self.iterators[name]
        return 1

    def _do_dialog_var_sets(self, name: str, value: str) -> int:
        self.dialog_vars[name] = value
        return 1

    def _do_dialog_var_get(self, name: str) -> str | None:
        return self.dialog_vars.get(name)

    def _do_dialog_get_profile_size(self, profile: str, value: str, pv: str) -> int:
        self.pvs[pv] = self.tables.get(f"profile:{profile}", {}).get(value, 0)
        return 1

    def _do_dialog_set_dlg_profile(self, profile: str, value: str) -> int:
        entries = self.tables.setdefault(f"profile:{profile}", {})
        entries[value] = entries.get(value, 0) + 1
        return 1

    def _do_dialog_unset_dlg_profile(self, profile: str, value: str) -> int:
        self.tables.setdefault(f"profile:{profile}", {})[value] -= 1
        return 1

    # ---- what a test mostly wants to be "no" unless it says otherwise

    def _do_tm_t_check_trans(self) -> int:
        return -1

    def _do_tmx_t_precheck_trans(self) -> int:
        return -1

    def _do_tm_t_is_canceled(self) -> int:
        return -1

    def _do_nathelper_nat_uac_test(self, tests: int) -> int:
        return -1

    def _do_pike_pike_check_req(self) -> int:
        return 1

    def _do_isbflagset(self, flag: int) -> bool:
        return False

    def _do_textops_has_body_type(self, kind: str) -> int:
        return 1 if self.pvs.get("$rb") else -1

    def _do_textops_remove_hf_re(self, pattern: str) -> int:
        names = [name for name in self.pvs if name.startswith("$hdr(") and re.match(pattern, name[5:-1])]
        for name in names:
            del self.pvs[name]
        return 1 if names else -1

    def _do_seturi(self, uri: str) -> bool:
        self.pvs["$ru"] = uri
        return True


class _Module:
    """One module of KSR."""

    def __init__(self, ksr: FakeKsr, name: str) -> None:
        self._ksr, self._name = ksr, name

    def __getattr__(self, name: str) -> Any:
        full = f"{self._name}.{name}"
        if full not in API and not (self._name == "pv" and name in _PV):
            raise AttributeError(f"KSR.{self._name} has no attribute {name!r}")
        return self._ksr._function(full)
