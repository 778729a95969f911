"""Numbers, money, dates and times as sequences of prompts, in Russian and English.

Decides which prompts, in which order and in which form (gender, case, plural); what each says is in
conf/prompts/<language>.yaml, and a test finds every name there. Names: `number-5` (cardinal), `-f`, `-n` feminine
and neuter, `-gen` genitive, `ordinal-3`, `minute-one|few|many` (the form that a number asks for). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from callcore.errors import BadInput

Prompts = tuple[str, ...]

LANGUAGES = ("ru", "en")
#: Numbers beyond are told digit by digit.
LIMIT = 10**12
SCALES = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"))
#: Positions beyond are told as cardinals.
ORDINAL_LIMIT = 1000


class BadSpeech(BadInput):
    """This cannot be said."""

    error_id = "bad-speech"


class Gender(StrEnum):
    """Which form one and two take (Russian)."""

    MASCULINE = ""
    FEMININE = "-f"
    NEUTER = "-n"


#: Counted things → gender of the Russian word.
UNITS: Mapping[str, Gender] = {
    "second": Gender.FEMININE,
    "minute": Gender.FEMININE,
    "hour": Gender.MASCULINE,
    "day": Gender.MASCULINE,
    "ruble": Gender.MASCULINE,
    "kopeck": Gender.FEMININE,
    "dollar": Gender.MASCULINE,
    "cent": Gender.MASCULINE,
    "euro": Gender.MASCULINE,
    "degree": Gender.MASCULINE,
    "thousand": Gender.FEMININE,
    "million": Gender.MASCULINE,
    "billion": Gender.MASCULINE,
    "message-new": Gender.NEUTER,
    "message-old": Gender.NEUTER,
}
#: Currency (ISO 4217) → its units, the greater one first.
CURRENCIES: Mapping[str, tuple[str, str]] = {
    "RUB": ("ruble", "kopeck"),
    "USD": ("dollar", "cent"),
    "EUR": ("euro", "cent"),
}


def plural_form(number: int, language: str) -> str:
    """Return the form of a counted word: one, few or many (CLDR's rules for whole numbers)."""
    if language == "en":
        return "one" if number == 1 else "many"
    last, before = number % 10, number // 10 % 10
    if before == 1 or last == 0 or last > 4:
        return "many"
    return "one" if last == 1 else "few"


def digits(text: str, language: str) -> Prompts:
    """Say digits one by one; "+", "*" and "#" are said too. Raises BadSpeech for anything else."""
    _check(language)
    names = {"+": "plus", "*": "star", "#": "hash"}
    for char in text:
        if char not in names and char not in "0123456789":
            raise BadSpeech(f"{text!r} is not made of digits")
    return tuple(names.get(char, f"number-{char}") for char in text)


def number(value: int, language: str, gender: Gender = Gender.MASCULINE) -> Prompts:
    """Say a whole number; one that is too long is said digit by digit."""
    _check(language)
    if value < 0:
        return ("minus", *number(-value, language, gender))
    if value >= LIMIT:
        return digits(str(value), language)
    if value == 0:
        return ("number-0",)
    said: list[str] = []
    for scale, name in SCALES:
        count, value = divmod(value, scale)
        if count:
            said += [*_hundreds(count, language, UNITS[name]), f"{name}-{plural_form(count, language)}"]
    return (*said, *_hundreds(value, language, gender))


def _hundreds(value: int, language: str, gender: Gender) -> Prompts:
    """Say 0 (nothing) to 999."""
    hundreds, rest = divmod(value, 100)
    said: list[str] = []
    if hundreds:
        said += [f"number-{hundreds * 100}"] if language == "ru" else [f"number-{hundreds}", "hundred"]
    return (*said, *(_cardinal(part, language, gender) for part in _parts(rest)))


def _parts(value: int) -> list[int]:
    """Split 1 to 99 into what has a word of its own: 42 → 40, 2."""
    if value == 0:
        return []
    if value < 20 or value % 10 == 0:
        return [value]
    return [value // 10 * 10, value % 10]


def _cardinal(value: int, language: str, gender: Gender) -> str:
    has_gender = language == "ru" and (value == 1 or (value == 2 and gender is Gender.FEMININE))
    return f"number-{value}{gender.value if has_gender else ''}"


def counted(value: int, unit: str, language: str) -> Prompts:
    """Say how many of a unit of UNITS: "two minutes"."""
    return (*number(value, language, UNITS[unit]), f"{unit}-{plural_form(abs(value), language)}")


def ordinal(value: int, language: str) -> Prompts:
    """Say "third" (masculine in Russian), 1 to 999. Raises BadSpeech."""
    _check(language)
    if not 0 < value < ORDINAL_LIMIT:
        raise BadSpeech(f"{value} has no ordinal here")
    return _ordinal(value, language, "")


def _ordinal(value: int, language: str, form: str) -> Prompts:
    """Say an ordinal in a form (masculine: none): all but the last word is a cardinal."""
    hundreds, rest = divmod(value, 100)
    if language == "en":
        if hundreds and not rest:
            return (f"number-{hundreds}", "hundredth")
        before: Prompts = (f"number-{hundreds}", "hundred") if hundreds else ()
    else:
        if hundreds and not rest:
            return (f"ordinal-{value}{form}",)
        before = (f"number-{hundreds * 100}",) if hundreds else ()
    *first, last = _parts(rest)
    return (*before, *(f"number-{part}" for part in first), f"ordinal-{last}{form}")


def amount(value: Decimal, currency: str, language: str) -> Prompts:
    """Say money: "ten roubles five kopecks"; a fraction of nothing is left out. Raises BadSpeech."""
    if currency not in CURRENCIES:
        raise BadSpeech(f"{currency} has no words here")
    _check(language)
    large, small = CURRENCIES[currency]
    whole, cents = divmod(round(abs(value) * 100), 100)
    said = counted(whole, large, language) if whole or not cents else ()
    said += counted(cents, small, language) if cents else ()
    return ("minus", *said) if value < 0 and (whole or cents) else said


def day(value: date, language: str, *, with_year: bool = False) -> Prompts:
    """Say a date: "the twenty-second of November". Years 1900 to 2099; raises BadSpeech."""
    _check(language)
    if language == "en":
        said: Prompts = (f"month-{value.month}", *_ordinal(value.day, "en", ""))
        return (*said, *_year_en(value.year)) if with_year else said
    said = (*_ordinal(value.day, "ru", "-n"), f"month-{value.month}")
    return (*said, *_year_ru(value.year), "year-gen") if with_year else said


def _check_year(year: int) -> None:
    if not 1900 <= year <= 2099:
        raise BadSpeech(f"the year {year} has no words here")


def _year_ru(year: int) -> Prompts:
    """Say a year as a genitive ordinal: две тысячи двадцать шестого."""
    _check_year(year)
    if year == 2000:
        return ("ordinal-2000-gen",)
    if year > 2000:
        return ("number-2-f", "thousand-few", *_ordinal(year - 2000, "ru", "-gen"))
    return ("thousand-one", *_ordinal(year - 1000, "ru", "-gen"))


def _year_en(year: int) -> Prompts:
    """Say a year: twenty twenty-six; two thousand five; nineteen hundred."""
    _check_year(year)
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return number(year, "en")
    first = tuple(f"number-{part}" for part in _parts(century))
    if rest == 0:
        return (*first, "hundred")
    middle = ("oh",) if rest < 10 else ()
    return (*first, *middle, *(f"number-{part}" for part in _parts(rest)))


def clock(value: time, language: str) -> Prompts:
    """Say a time of day: девять часов тридцать минут; nine thirty a. m."""
    _check(language)
    if language == "ru":
        hours = counted(value.hour, "hour", "ru")
        return (*hours, *counted(value.minute, "minute", "ru")) if value.minute else hours
    said = number(value.hour % 12 or 12, "en")
    if value.minute:
        said += (("oh",) if value.minute < 10 else ()) + number(value.minute, "en")
    return (*said, "am" if value.hour < 12 else "pm")


# ------------------------------------------------------------------------------------------------- queue


def position(value: int, language: str) -> Prompts:
    """Say a place in a queue, 1 being the next to be served. Raises BadSpeech."""
    _check(language)
    if value < 1:
        raise BadSpeech(f"{value} is no place in a queue")
    if value >= ORDINAL_LIMIT:
        return ("position-number", *number(value, language))
    return ("position-before", *ordinal(value, language), "position-after")


def wait(low_minutes: int, high_minutes: int, language: str) -> Prompts:
    """Say how long waiting will take, as a range of minutes; (0, 0): less than a minute.

    From a lower end of 0 on it is "less than HIGH minutes". Raises BadSpeech.
    """
    _check(language)
    if not 0 <= low_minutes <= high_minutes:
        raise BadSpeech(f"{low_minutes} to {high_minutes} minutes is no range")
    if high_minutes > 60:
        return ("wait-more-than-hour",) if low_minutes >= 60 else ("wait-about", "wait-hour")
    if high_minutes <= 1 and low_minutes == 0:
        return ("wait-less-than-minute",)
    if low_minutes == 0:
        return ("wait-less-than", *_genitive_minutes(high_minutes, language))
    if low_minutes == high_minutes:
        return ("wait-about", *_genitive_minutes(high_minutes, language))
    return (
        "wait-from",
        *_genitive(low_minutes, language),
        "wait-to",
        *_genitive_minutes(high_minutes, language),
    )


def _genitive_minutes(value: int, language: str) -> Prompts:
    """Say so many minutes after "from", "to", "about": Russian wants the genitive there."""
    if language == "en":
        return counted(value, "minute", "en")
    # The genitive singular is the word that "two" takes: одной минуты, двух минут.
    form = "few" if plural_form(value, "ru") == "one" else "many"
    return (*_genitive(value, "ru"), f"minute-{form}")


def _genitive(value: int, language: str) -> Prompts:
    if language == "en":
        return number(value, "en")
    return tuple(f"number-{part}{'-f' if part == 1 else ''}-gen" for part in _parts(value))


def _check(language: str) -> None:
    if language not in LANGUAGES:
        raise BadSpeech(f"{language} is none of {', '.join(LANGUAGES)}")


# --------------------------------------------------------------------------------------------- voice mail


def mailbox(new: int, old: int, language: str) -> Prompts:
    """Say what waits in a mailbox: "you have two new messages and one old message". Raises BadSpeech."""
    _check(language)
    if new < 0 or old < 0:
        raise BadSpeech(f"{new} new and {old} old messages cannot be")
    if not new and not old:
        return ("mailbox-empty",)
    said = counted(new, "message-new", language) if new else ()
    if old:
        said += (("mailbox-and",) if new else ()) + counted(old, "message-old", language)
    return ("mailbox-you-have", *said)


def moment(value: datetime, now: datetime, language: str) -> Prompts:
    """Say when something was, by the clock of `now`'s zone: "yesterday nine thirty a. m."; raises BadSpeech.

    Both are aware. The year is told when it is not that of `now`.
    """
    _check(language)
    there = value.astimezone(now.tzinfo)
    told = clock(there.time(), language)
    if there.date() == now.date():
        return ("today", *told)
    if there.date() == now.date() - timedelta(days=1):
        return ("yesterday", *told)
    with_year = there.year != now.year
    if language == "en":
        return (*day(there.date(), "en", with_year=with_year), *told)
    # Russian dates something by the genitive: двадцать второго ноября.
    year = (*_year_ru(there.year), "year-gen") if with_year else ()
    return (*_ordinal(there.day, "ru", "-gen"), f"month-{there.month}", *year, *told)


# ------------------------------------------------------------------------------------------------- names


def all_names(language: str) -> frozenset[str]:
    """Return every prompt that the functions here may ask for."""
    every: list[Prompts] = [digits("0123456789+*#", language), ("minus",)]
    genders: list[Gender] = list(Gender)
    every += [number(n, language, gender) for n in range(1000) for gender in genders]
    every += [number(n * scale, language) for scale, _ in SCALES for n in (1, 2, 5)]
    every += [counted(n, unit, language) for unit in UNITS for n in (1, 2, 5)]
    every += [ordinal(n, language) for n in range(1, ORDINAL_LIMIT)]
    every += [day(date(2024, 1, n), language) for n in range(1, 32)]
    every += [day(date(2024, n, 1), language) for n in range(1, 13)]
    every += [day(date(n, 1, 1), language, with_year=True) for n in range(1900, 2100)]
    every += [clock(time(hour, minute), language) for hour in range(24) for minute in (0, 5, 30)]
    every += [position(n, language) for n in (1, 22, ORDINAL_LIMIT)]
    every += [mailbox(new, old, language) for new in (0, 1, 2, 5) for old in (0, 1, 2, 5)]
    later = datetime(2026, 3, 15, 12, tzinfo=UTC)
    every += [moment(datetime(2026, 1, n, 12, tzinfo=UTC), later, language) for n in range(1, 32)]
    every += [moment(later - timedelta(days=days), later, language) for days in (0, 1, 400)]
    every += [wait(low, high, language) for high in range(62) for low in range(high + 1)]
    return frozenset(name for names in every for name in names)
