"""The attributes of a property, brought into the types in which Glance keeps and shows them. Pure.

Whole numbers are cut from any, a default is kept as text, and what no property has is refused.
Source: glance/api/v2/model/metadef_property_type.py, and wsme's conversions.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from proxy.errors import BadRequest

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


class _Unfit(Exception):
    """An attribute cannot have this value. The message goes on after the attribute's name."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Unfit("must be a string")
    return value


def _number(value: Any) -> int:
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError):
        raise _Unfit("must be a finite number") from None


def _truth(value: Any) -> bool:
    if isinstance(value, int):
        return bool(value)
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _Unfit("must be true or false")


def _texts(value: Any) -> list[str | None]:
    if not isinstance(value, list):
        raise _Unfit("must be a list")
    return [None if item is None else _text(item) for item in value]


def _default(value: Any) -> str | None:
    """Numbers and truth values become text; a list or an object is forgotten."""
    if not isinstance(value, str | int | float):
        return None
    if not (text := str(value)).isascii():
        raise _Unfit("must have ASCII characters only")
    return text


def _items(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or "type" not in value:
        raise _Unfit("must be an object with a type")
    if unknown := sorted(value.keys() - _ITEM.keys()):
        raise _Unfit(f"has no {', '.join(unknown)}")
    return {name: convert(value[name]) for name, convert in _ITEM.items() if value.get(name) is not None}


Convert = Callable[[Any], Any]

_ITEM: Mapping[str, Convert] = MappingProxyType({"type": _text, "enum": _texts})
_ATTRIBUTES: Mapping[str, Convert] = MappingProxyType(
    {
        "name": _text,
        "type": _text,
        "title": _text,
        "description": _text,
        "operators": _texts,
        "default": _default,
        "readonly": _truth,
        "minimum": _number,
        "maximum": _number,
        "enum": _texts,
        "pattern": _text,
        "minLength": _number,
        "maxLength": _number,
        "confidential": _truth,
        "items": _items,
        "uniqueItems": _truth,
        "minItems": _number,
        "maxItems": _number,
        "additionalItems": _truth,
    }
)


def kept(document: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A property that a client sends, as it is kept. `at` is its place in the body. Raises BadRequest."""
    if unknown := sorted(document.keys() - _ATTRIBUTES.keys()):
        raise BadRequest(f"{at}: a property has no {', '.join(unknown)}.")
    property_type = {}
    for name, convert in _ATTRIBUTES.items():
        if name in document:
            try:
                property_type[name] = None if document[name] is None else convert(document[name])
            except _Unfit as error:
                raise BadRequest(f"{at}.{name} {error}.") from None
    return property_type


def shown(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A kept property as it is shown. What came from a file is converted too, where it can be."""
    return {name: _converted(name, value) for name, value in schema.items()}


def _converted(name: str, value: Any) -> Any:
    convert = _ATTRIBUTES.get(name)
    if convert is None or value is None:
        return value
    try:
        return convert(value)
    except _Unfit:
        return value
