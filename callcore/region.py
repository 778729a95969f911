"""Region names: the many spellings of the number-range registry mean one region each.

Decides the one name that routes, gateways and caller-ID sets compare. Never throws a text away: a name
that the table does not know stays as it is, marked unknown, so that a person can see and mend it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

#: The one spelling of each region, then further names for it (kind words such as "область" may be left
#: out, see _KIND_WORDS). The order is the order inside the name of a pair: cities before their regions.
REGIONS: dict[str, tuple[str, ...]] = {
    "Москва": (),
    "Санкт-Петербург": ("Санкт Петербург г",),
    "Севастополь": (),
    "Байконур": (),
    "Московская область": (),
    "Ленинградская область": (),
    "Республика Адыгея": ("Адыгея Адыгея",),
    "Республика Алтай": (),
    "Республика Башкортостан": ("Башкирия",),
    "Республика Бурятия": (),
    "Республика Дагестан": (),
    "Республика Ингушетия": (),
    "Кабардино-Балкарская Республика": ("Кабардино-Балкария",),
    "Республика Калмыкия": (),
    "Карачаево-Черкесская Республика": ("Карачаево-Черкесия",),
    "Республика Карелия": (),
    "Республика Коми": (),
    "Республика Крым": (),
    "Республика Марий Эл": (),
    "Республика Мордовия": (),
    "Республика Саха (Якутия)": ("Якутия", "Саха"),
    "Республика Северная Осетия - Алания": ("Северная Осетия",),
    "Республика Татарстан": ("Татарстан Татарстан",),
    "Республика Тыва": ("Тува",),
    "Удмуртская Республика": ("Удмуртия",),
    "Республика Хакасия": (),
    "Чеченская Республика": ("Чечня",),
    "Чувашская Республика": ("Чувашская Республика - Чувашия", "Чувашия", "Чувашия Чувашская"),
    "Донецкая Народная Республика": ("ДНР",),
    "Луганская Народная Республика": ("ЛНР",),
    "Алтайский край": (),
    "Забайкальский край": ("Читинская область", "Агинский Бурятский округ"),
    "Камчатский край": ("Камчатская область", "Корякский округ"),
    "Краснодарский край": (),
    "Красноярский край": (
        "Таймырский округ",
        "Таймырский (Долгано-Ненецкий) округ",
        "Эвенкийский округ",
    ),
    "Пермский край": ("Пермская область", "Коми-Пермяцкий округ"),
    "Приморский край": (),
    "Ставропольский край": (),
    "Хабаровский край": (),
    "Амурская область": (),
    "Архангельская область": (),
    "Астраханская область": (),
    "Белгородская область": (),
    "Брянская область": (),
    "Владимирская область": (),
    "Волгоградская область": (),
    "Вологодская область": (),
    "Воронежская область": (),
    "Запорожская область": (),
    "Ивановская область": (),
    "Иркутская область": ("Усть-Ордынский Бурятский округ",),
    "Калининградская область": (),
    "Калужская область": (),
    "Кемеровская область": ("Кемеровская область - Кузбасс", "Кузбасс"),
    "Кировская область": (),
    "Костромская область": (),
    "Курганская область": (),
    "Курская область": (),
    "Липецкая область": (),
    "Магаданская область": (),
    "Мурманская область": (),
    "Нижегородская область": (),
    "Новгородская область": (),
    "Новосибирская область": (),
    "Омская область": (),
    "Оренбургская область": (),
    "Орловская область": (),
    "Пензенская область": (),
    "Псковская область": (),
    "Ростовская область": (),
    "Рязанская область": (),
    "Самарская область": (),
    "Саратовская область": (),
    "Сахалинская область": (),
    "Свердловская область": (),
    "Смоленская область": (),
    "Тамбовская область": (),
    "Тверская область": (),
    "Томская область": (),
    "Тульская область": (),
    "Тюменская область": (),
    "Ульяновская область": (),
    "Херсонская область": (),
    "Челябинская область": (),
    "Ярославская область": (),
    "Еврейская автономная область": (),
    "Ненецкий автономный округ": (),
    "Ханты-Мансийский автономный округ - Югра": ("Ханты-Мансийский", "ХМАО", "Югра"),
    "Чукотский автономный округ": (),
    "Ямало-Ненецкий автономный округ": ("ЯНАО",),
    "Российская Федерация": ("Россия", "РФ", "Вся Россия"),
}

#: Words that say what kind of region it is; the rest of the name is unique without them.
_KIND_WORDS = frozenset(
    "г город республика респ область обл край округ ао аобл авт автономная автономный".split()  # noqa: SIM905
)
_WORD = re.compile(r"[а-яa-z0-9]+")
#: The registry joins the regions of one range by "*", an enumeration by "и" or a comma.
_BETWEEN_REGIONS = re.compile(r"\s*[*,;]\s*|\s+и\s+")


@dataclass(frozen=True, slots=True)
class Region:
    """A region under its one name; `known` is False when the table has no such name."""

    name: str
    known: bool


@lru_cache(maxsize=20_000)
def normalise_region(text: str) -> Region:
    """Return the one name of a region as the registry or a person spells it.

    "г. Королев|Московская область" is its last known part; "г. Москва * Московская область" is the pair,
    "Москва и Московская область", whatever their order. An unknown text comes back with its spaces tidied.
    """
    tidy = " ".join(text.split())
    whole = _lookup(tidy)
    if whole is not None:
        return Region(whole, True)
    for part in reversed(tidy.split("|")):
        found = {name for name in map(_lookup, _BETWEEN_REGIONS.split(part)) if name is not None}
        if found:
            return Region(" и ".join(sorted(found, key=_ORDER.__getitem__)), True)
    return Region(tidy, False)


def _lookup(text: str) -> str | None:
    return _BY_WORDS.get(_fold(text))


def _fold(text: str) -> tuple[str, ...]:
    """Reduce a name to its telling words: case, ё, punctuation and kind words do not count."""
    words = _WORD.findall(text.lower().replace("ё", "е"))
    return tuple(word for word in words if word not in _KIND_WORDS)


_ORDER = {name: position for position, name in enumerate(REGIONS)}
_BY_WORDS = {_fold(spelling): name for name, others in REGIONS.items() for spelling in (name, *others)}
