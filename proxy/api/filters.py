"""The query string of an image list, as an `ImageQuery`. Pure.

Source: glance/api/v2/images.py, RequestDeserializer.index; glance/db/sqlalchemy/api.py, image_get_all.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from oslo_utils import timeutils

from proxy.api.config import ApiConfig
from proxy.errors import BadRequest
from upstream.registry import Filter, ImageQuery, Operator, Order
from upstream.types import Visibility

SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
_MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")
_TIMES = frozenset({"created_at", "updated_at"})
_LISTS = frozenset({"name", "id", "status", "container_format", "disk_format"})
_STRINGS = frozenset({"owner", "checksum", "os_hash_algo", "os_hash_value"})
_INT64_MAX = 2**63 - 1
_INT32_MAX = 2**31 - 1
_INTEGERS: Mapping[str, int] = MappingProxyType(
    {"size": _INT64_MAX, "virtual_size": _INT64_MAX, "min_disk": _INT32_MAX, "min_ram": _INT32_MAX}
)
"""Each with the greatest number that its column holds."""
_NOTHING = Filter(field="id", operator=Operator.IN, value=())
"""No image has it."""
_BOUNDS: Mapping[str, Operator] = MappingProxyType({"_min": Operator.GTE, "_max": Operator.LTE})

# A quoted item, or a run without commas; either may be followed by a comma.
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"(?:,|\Z)|([^,"]*)(?:,|\Z)')

Parameters = Sequence[tuple[str, str]]


def parse(parameters: Parameters, config: ApiConfig) -> ImageQuery:
    """The page that a client asks for. Of a parameter that is repeated the last counts, unless it may be repeated.

    Of `marker`, `member_status` and `visibility` the first counts, though the last visibility is what is checked: one
    that is none finds nothing. Raises BadRequest with the parameter and what it may be.
    """
    single = dict(parameters)
    first = dict(reversed(parameters))
    if single.get("changes-since"):
        raise BadRequest("The filter changes-since does not exist in v2.")
    _choice(single, "visibility", (*Visibility, "all", ""))
    visibility = first.get("visibility")
    is_known = visibility is None or visibility in {*Visibility, "all"}
    chosen = tuple(_filter(name, value) for name, value in single.items() if name not in _SPECIAL)
    return ImageQuery(
        filters=chosen if is_known else (*chosen, _NOTHING),
        tags=tuple(value.strip() for name, value in parameters if name == "tag"),
        visibility=Visibility(visibility) if is_known and visibility not in {None, "all"} else None,
        all_visibilities=visibility == "all",
        member_status=_choice(first, "member_status", _MEMBER_STATUSES) or "accepted",
        os_hidden=_boolean("os_hidden", single.get("os_hidden", "false").lower()),
        sort=_sort(parameters),
        marker=first.get("marker"),
        limit=_limit(single.get("limit"), config),
    )


_SPECIAL = frozenset(
    {"limit", "marker", "visibility", "member_status", "os_hidden", "tag", "sort", "sort_key", "sort_dir", "deleted"}
    | {"changes-since"}
)


def _choice(single: Mapping[str, str], name: str, choices: Sequence[str]) -> str | None:
    value = single.get(name)
    if value is not None and value not in choices:
        raise BadRequest(f"Invalid {name} value: {value}. It must be one of {', '.join(choices)}.")
    return value


def _boolean(name: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise BadRequest(f"Invalid value '{value}' for '{name}' filter. Valid values are 'true' or 'false'.")
    return value == "true"


def _limit(value: str | None, config: ApiConfig) -> int:
    if value is None:
        return min(config.limit_param_default, config.api_limit_max)
    limit = _integer(value, "limit param must be an integer")
    if limit < 0:
        raise BadRequest("limit param must be positive")
    return min(limit, config.api_limit_max)


def _integer(value: str, complaint: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise BadRequest(f"{complaint}, got {value[:40]!r}") from None
    if abs(number) > _INT64_MAX:
        raise BadRequest(f"{complaint} of at most 64 bits")
    return number


def _filter(name: str, value: str) -> Filter:
    if name[-4:] in _BOUNDS:
        return _bound(name, value)
    if name in _TIMES:
        return _time(name, value)
    if name in _LISTS:
        return _list(name, value)
    if name in _INTEGERS:
        return _number(name, value)
    if name == "protected":
        return _equals(name, _boolean(name, value))
    return Filter(field=name, operator=Operator.EQ, value=value, is_property=name not in _STRINGS)


def _equals(name: str, value: Any) -> Filter:
    return Filter(field=name, operator=Operator.EQ, value=value)


def _number(name: str, value: str) -> Filter:
    """What is no number is no error, it is equal to none: these filters know no operators."""
    try:
        return _equals(name, _integer(value, name))
    except BadRequest:
        return Filter(field=name, operator=Operator.IN, value=())


def _bound(name: str, value: str) -> Filter:
    field = name[:-4]
    if field not in _INTEGERS:
        raise BadRequest(f"Unable to filter by '{name}': ranges exist for {', '.join(sorted(_INTEGERS))}.")
    try:
        number = int(value)
    except ValueError:
        raise BadRequest(f"Unable to filter on a range: '{name}' must be an integer, got {value[:40]!r}") from None
    within = max(-_INTEGERS[field], min(number, _INTEGERS[field]))
    return Filter(field=field, operator=_BOUNDS[name[-4:]], value=within)


def _time(name: str, value: str) -> Filter:
    operator, moment = _operator(value)
    if operator == Operator.IN or operator not in set(Operator):
        raise BadRequest(f"Unable to filter '{name}' by unknown operator '{operator}'.")
    parsed = _parse_time(moment)
    if parsed is None:
        raise BadRequest(f"Bad '{name}' query filter format: use ISO 8601 DateTime notation.")
    return Filter(field=name, operator=Operator(operator), value=parsed)


def _list(name: str, value: str) -> Filter:
    operator, rest = _operator(value)
    if operator == Operator.IN:
        return Filter(field=name, operator=Operator.IN, value=split_list(rest))
    if operator == Operator.EQ:
        return _equals(name, rest)
    raise BadRequest(f"Unable to filter '{name}' by unknown operator '{operator}'.")


def _operator(value: str) -> tuple[str, str]:
    """The part before the first colon and the rest; a plain value or a time of day is compared for equality."""
    left, colon, right = value.partition(":")
    if not colon or _parse_time(value) is not None:
        return Operator.EQ, value
    return left, right


def _parse_time(value: str) -> datetime | None:
    try:
        parsed = timeutils.parse_isotime(value)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter beside the years 1 and 9999, in other zones
        return None


def split_list(value: str) -> tuple[str, ...]:
    """The items of `in:a,"b,c",d`. Raises BadRequest for a quote that is not closed or not next to a comma."""
    items: list[str] = []
    at = 0
    while at < len(value):
        match = _ITEM.match(value, at)
        if match is None:
            raise BadRequest(f"Invalid filter value {value}: a quoted item must be closed and stand between commas.")
        items.append(match[1] if match[1] is not None else match[2])
        at = match.end()
    return tuple(items)


def _sort(parameters: Parameters) -> tuple[tuple[str, Order], ...]:
    """Both syntaxes: `sort=key:dir,key` and `sort_key=…&sort_dir=…`. Ends in a unique key."""
    combined = [value for name, value in parameters if name == "sort"]
    keys = [value.strip() for name, value in parameters if name == "sort_key"]
    directions = [value.strip() for name, value in parameters if name == "sort_dir"]
    if combined and (keys or directions):
        raise BadRequest("Old and new sorting syntax cannot be combined")
    if combined:
        pairs = [part.partition(":") for part in combined[0].strip().split(",")]
        keys = [key.strip() for key, _, _ in pairs]
        directions = [direction.strip() or "desc" for _, _, direction in pairs]
    elif len(directions) > 1 and len(directions) != len(keys):
        raise BadRequest("Number of sort dirs does not match the number of sort keys")
    return _completed([_sort_key(key) for key in keys], [_direction(direction) for direction in directions])


def _completed(keys: list[str], directions: list[Order]) -> tuple[tuple[str, Order], ...]:
    keys = keys or ["created_at"]
    directions = directions or [Order.DESCENDING]
    default = directions[0] if len(directions) == 1 else Order.DESCENDING
    if len(directions) == 1:
        directions = directions * len(keys)
    sort = dict(zip(reversed(keys), reversed(directions), strict=True))
    pairs = [(key, sort[key]) for key in dict.fromkeys(keys)]
    pairs.extend((key, default) for key in ("created_at", "id") if key not in sort)
    return tuple(pairs)


def _sort_key(key: str) -> str:
    if key not in SORT_KEYS:
        raise BadRequest(f"Invalid sort key: {key}. It must be one of the following: {', '.join(SORT_KEYS)}.")
    return key


def _direction(value: str) -> Order:
    if value not in set(Order):
        raise BadRequest(f"Invalid sort direction: {value}. It must be one of asc, desc.")
    return Order(value)
