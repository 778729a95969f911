"""Time zones in which a telephone number may be.

Decides the set of IANA zones from what a list says of the person, from the region of the number ranges, and from the
country code. Several possible zones are all returned; nothing is guessed: an empty set is "nobody knows". A mobile
number's region is where it was issued and not where the person is, so what the list says goes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from callcore.errors import BadInput
from callcore.region import normalise_region
from callcore.schedule import BadSchedule, time_zone

_MOSCOW = ("Europe/Moscow",)
_YEKATERINBURG = ("Asia/Yekaterinburg",)
_YAKUTSK = ("Asia/Yakutsk",)

#: Regions that do not keep Moscow time; a region with several zones has all of them.
_OTHER_REGIONS: Mapping[str, tuple[str, ...]] = {
    "Калининградская область": ("Europe/Kaliningrad",),
    "Астраханская область": ("Europe/Astrakhan",),
    "Самарская область": ("Europe/Samara",),
    "Саратовская область": ("Europe/Saratov",),
    "Удмуртская Республика": ("Europe/Samara",),
    "Ульяновская область": ("Europe/Ulyanovsk",),
    "Республика Крым": ("Europe/Simferopol",),
    "Севастополь": ("Europe/Simferopol",),
    "Волгоградская область": ("Europe/Volgograd",),
    "Кировская область": ("Europe/Kirov",),
    "Республика Башкортостан": _YEKATERINBURG,
    "Курганская область": _YEKATERINBURG,
    "Оренбургская область": _YEKATERINBURG,
    "Пермский край": _YEKATERINBURG,
    "Свердловская область": _YEKATERINBURG,
    "Тюменская область": _YEKATERINBURG,
    "Ханты-Мансийский автономный округ - Югра": _YEKATERINBURG,
    "Челябинская область": _YEKATERINBURG,
    "Ямало-Ненецкий автономный округ": _YEKATERINBURG,
    "Омская область": ("Asia/Omsk",),
    "Алтайский край": ("Asia/Barnaul",),
    "Республика Алтай": ("Asia/Barnaul",),
    "Кемеровская область": ("Asia/Novokuznetsk",),
    "Новосибирская область": ("Asia/Novosibirsk",),
    "Томская область": ("Asia/Tomsk",),
    "Красноярский край": ("Asia/Krasnoyarsk",),
    "Республика Тыва": ("Asia/Krasnoyarsk",),
    "Республика Хакасия": ("Asia/Krasnoyarsk",),
    "Иркутская область": ("Asia/Irkutsk",),
    "Республика Бурятия": ("Asia/Irkutsk",),
    "Амурская область": _YAKUTSK,
    "Забайкальский край": ("Asia/Chita",),
    "Республика Саха (Якутия)": (*_YAKUTSK, "Asia/Vladivostok", "Asia/Srednekolymsk"),
    "Еврейская автономная область": ("Asia/Vladivostok",),
    "Приморский край": ("Asia/Vladivostok",),
    "Хабаровский край": ("Asia/Vladivostok",),
    "Магаданская область": ("Asia/Magadan",),
    "Сахалинская область": ("Asia/Sakhalin", "Asia/Srednekolymsk"),
    "Камчатский край": ("Asia/Kamchatka",),
    "Чукотский автономный округ": ("Asia/Anadyr",),
    "Байконур": ("Asia/Qyzylorda",),
}
_WHOLE_COUNTRY = "Российская Федерация"
#: One zone for each offset from UTC+2 to +12: the hours that are open in all of these are open in all of Russia.
_RUSSIA = (
    "Europe/Kaliningrad",
    "Europe/Moscow",
    "Europe/Samara",
    "Asia/Yekaterinburg",
    "Asia/Omsk",
    "Asia/Krasnoyarsk",
    "Asia/Irkutsk",
    "Asia/Yakutsk",
    "Asia/Vladivostok",
    "Asia/Magadan",
    "Asia/Kamchatka",
)

#: Country codes of countries with one zone on land (or where all zones keep one time). +7 is not among them.
COUNTRIES: Mapping[str, tuple[str, ...]] = {
    "30": ("Europe/Athens",),
    "31": ("Europe/Amsterdam",),
    "32": ("Europe/Brussels",),
    "36": ("Europe/Budapest",),
    "39": ("Europe/Rome",),
    "40": ("Europe/Bucharest",),
    "41": ("Europe/Zurich",),
    "43": ("Europe/Vienna",),
    "44": ("Europe/London",),
    "45": ("Europe/Copenhagen",),
    "46": ("Europe/Stockholm",),
    "47": ("Europe/Oslo",),
    "48": ("Europe/Warsaw",),
    "49": ("Europe/Berlin",),
    "65": ("Asia/Singapore",),
    "77": ("Asia/Almaty",),
    "81": ("Asia/Tokyo",),
    "82": ("Asia/Seoul",),
    "84": ("Asia/Ho_Chi_Minh",),
    "86": ("Asia/Shanghai",),
    "90": ("Europe/Istanbul",),
    "91": ("Asia/Kolkata",),
    "353": ("Europe/Dublin",),
    "358": ("Europe/Helsinki",),
    "359": ("Europe/Sofia",),
    "370": ("Europe/Vilnius",),
    "371": ("Europe/Riga",),
    "372": ("Europe/Tallinn",),
    "373": ("Europe/Chisinau",),
    "374": ("Asia/Yerevan",),
    "375": ("Europe/Minsk",),
    "380": ("Europe/Kyiv",),
    "381": ("Europe/Belgrade",),
    "385": ("Europe/Zagreb",),
    "386": ("Europe/Ljubljana",),
    "420": ("Europe/Prague",),
    "421": ("Europe/Bratislava",),
    "971": ("Asia/Dubai",),
    "972": ("Asia/Jerusalem",),
    "992": ("Asia/Dushanbe",),
    "993": ("Asia/Ashgabat",),
    "994": ("Asia/Baku",),
    "995": ("Asia/Tbilisi",),
    "996": ("Asia/Bishkek",),
    "998": ("Asia/Tashkent",),
}
_OFFSET = re.compile(r"(?:utc|gmt|msk|мск)?\s*([+-]\d{1,2})(?::?00)?", re.ASCII | re.IGNORECASE)


class BadZone(BadInput):
    """This is neither an IANA time zone nor an offset of whole hours from UTC."""

    error_id = "bad-zone"


@lru_cache(maxsize=20_000)
def zones_of_region(text: str) -> tuple[str, ...]:
    """Return the zones of a region as the registry or a person spells it, sorted; none if nobody knows it."""
    region = normalise_region(text)
    if not region.known:
        return ()
    # The one name of several regions joins them by "и"; no region has that word in its own.
    found: set[str] = set()
    for name in region.name.split(" и "):
        found.update(_RUSSIA if name == _WHOLE_COUNTRY else _OTHER_REGIONS.get(name, _MOSCOW))
    return tuple(sorted(found))


def zones_of_country(number: str) -> tuple[str, ...]:
    """Return the zones of an E.164 number's country; none where its country has several, or is not known here."""
    for length in (3, 2):
        if number[:length] in COUNTRIES:
            return COUNTRIES[number[:length]]
    return ()


def zones_of_number(
    number: str, *, zone: str = "", region: str = "", range_region: str = ""
) -> tuple[str, ...]:
    """Return all zones in which a number (E.164 digits) may be, sorted; none: nobody knows.

    zone, region: what the list says of the person. range_region: the number ranges' region. Raises BadZone.
    """
    if zone:
        return read_zone(zone)
    return (
        (zones_of_region(region) if region else ())
        or (zones_of_region(range_region) if range_region else ())
        or zones_of_country(number)
    )


@lru_cache(maxsize=2000)
def read_zone(text: str) -> tuple[str, ...]:
    """Return the zone that a list names: an IANA name, an offset from UTC (+5, UTC+5), or from Moscow (MSK+2).

    Raises BadZone. An offset has no daylight saving.
    """
    word = text.strip()
    offset = _OFFSET.fullmatch(word)
    if offset:
        hours = int(offset[1]) + (3 if word[:3].lower() in ("msk", "мск") else 0)
        if not -12 <= hours <= 14:
            raise BadZone(f"{text!r}: offsets go from UTC-12 to UTC+14")
        # The sign of the Etc zones is reversed (POSIX).
        return (f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT",)
    try:
        time_zone(word)
    except BadSchedule:
        raise BadZone(f"{text!r}: {BadZone.__doc__}") from None
    return (word,)
