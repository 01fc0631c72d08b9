"""From a value to JSON and back, by the type that both sides declare for it. Pure, and exact: anything else is refused.

Fields of dataclasses that have their default are left out. So two versions of Glint understand each other as long as
nobody uses what only one of them knows.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson


class Unreadable(ValueError):
    """A document that does not say what was agreed on, or a value that no document can say. Tells where."""


@dataclass(frozen=True, slots=True)
class Codec:
    """For one type. Both raise Unreadable."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def dumps(document: Any) -> bytes:
    """Raises Unreadable."""
    try:
        return orjson.dumps(document)
    except TypeError:  # half a surrogate pair, more than 64 bits, or nested deeply: rare, and exact all the same
        try:
            return json.dumps(document, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise Unreadable(f"a value cannot be sent ({type(error).__name__})") from error


def loads(body: bytes) -> Any:
    """Raises Unreadable."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unreadable("this is not JSON") from error


@cache
def codec(kind: Any, *, tolerant: bool = False) -> Codec:
    """How values of this type travel. A `tolerant` one passes over fields that it does not know.

    Raises TypeError for a type that no value on the wire has.
    """
    if kind is Any:
        return Codec(_encode_any, _decode_any)
    if kind in _SCALARS:
        return _scalar(*_SCALARS[kind])
    if kind is datetime:
        return Codec(datetime.isoformat, _decode_time)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return Codec(str, _one_of(kind))
    if isinstance(kind, type) and is_dataclass(kind):
        return _of_dataclass(kind, tolerant=tolerant)
    return _of_generic(kind, tolerant=tolerant)


def _of_generic(kind: Any, *, tolerant: bool) -> Codec:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
        inner = codec(next(each for each in arguments if each is not NoneType), tolerant=tolerant)
        return Codec(_unless_none(inner.encode), _unless_none(inner.decode))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _of_tuple([codec(each, tolerant=tolerant) for each in arguments])
    if origin in (tuple, Sequence, Collection, frozenset):
        make = {tuple: tuple, frozenset: frozenset}.get(origin, list)
        return _of_many(codec(arguments[0], tolerant=tolerant), make)
    if origin is Mapping and arguments[0] is str:
        return _of_mapping(codec(arguments[1], tolerant=tolerant))
    raise TypeError(f"{kind} cannot travel")


def _same(value: Any) -> Any:
    return value


def _scalar(kinds: tuple[type, ...], told: str) -> Codec:
    def decode(value: Any) -> Any:
        if type(value) not in kinds:  # a bool is no number
            raise Unreadable(f"expected {told}, got {_shown(value)}")
        return value

    return Codec(_same, decode)


_SCALARS: Mapping[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    int: ((int,), "a whole number"),
    float: ((float, int), "a number"),
    bool: ((bool,), "true or false"),
    NoneType: ((NoneType,), "nothing"),
}


def _decode_time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unreadable(f"expected a time, got {_shown(value)}") from None


def _one_of(kind: type[StrEnum]) -> Callable[[Any], StrEnum]:
    known = {str(each): each for each in kind}

    def decode(value: Any) -> StrEnum:
        try:
            return known[value]
        except (KeyError, TypeError):
            raise Unreadable(f"expected one of {', '.join(known)}, got {_shown(value)}") from None

    return decode


def _unless_none(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return _same if convert is _same else lambda value: None if value is None else convert(value)


def _of_many(inner: Codec, make: Callable[[Any], Any]) -> Codec:
    def encode(value: Collection[Any]) -> Any:
        return list(value) if inner.encode is _same else [inner.encode(each) for each in value]

    def decode(value: Any) -> Any:
        if not isinstance(value, list):
            raise Unreadable(f"expected a list, got {_shown(value)}")
        return make([inner.decode(each) for each in value])

    return Codec(encode, decode)


def _of_tuple(inner: Sequence[Codec]) -> Codec:
    def encode(value: Any) -> Any:
        return [each.encode(item) for each, item in zip(inner, value, strict=True)]

    def decode(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(inner):
            raise Unreadable(f"expected a list of {len(inner)}, got {_shown(value)}")
        return tuple(each.decode(item) for each, item in zip(inner, value, strict=True))

    return Codec(encode, decode)


def _of_mapping(inner: Codec) -> Codec:
    def encode(value: Mapping[str, Any]) -> Any:
        return {name: inner.encode(item) for name, item in value.items()}

    def decode(value: Any) -> Any:
        return {name: inner.decode(item) for name, item in _object(value).items()}

    return Codec(encode, decode)


def _of_dataclass(kind: type[Any], *, tolerant: bool) -> Codec:
    hints = get_type_hints(kind)
    inner = {each.name: codec(hints[each.name], tolerant=tolerant) for each in fields(kind)}
    plan = [(each.name, inner[each.name].encode, _default(each)) for each in fields(kind)]
    required = {name for name, _, default in plan if default is MISSING}

    def encode(value: Any) -> Any:
        document = {}
        for name, convert, default in plan:
            held = getattr(value, name)
            if held is not default and held != default:
                document[name] = convert(held)
        return document

    def decode(value: Any) -> Any:
        document = _object(value)
        unknown, missing = document.keys() - inner.keys(), required - document.keys()
        if missing or (unknown and not tolerant):
            problem = f"lacks {', '.join(sorted(missing))}" if missing else f"has no {', '.join(sorted(unknown))}"
            raise Unreadable(f"{kind.__name__} {problem}")
        return kind(**{name: inner[name].decode(held) for name, held in document.items() if name in inner})

    return Codec(encode, decode)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable(f"expected an object, got {_shown(value)}")
    return value


# Where the type says nothing, an object with one of these keys alone is what JSON has no word for.
_TIME, _TUPLE, _NUMBER, _OBJECT = "$time", "$tuple", "$number", "$object"


def _encode_any(value: Any) -> Any:
    for kind, encode in _PLAIN:
        if isinstance(value, kind):
            return encode(value)
    raise Unreadable(f"a {type(value).__name__} cannot be sent")


def _encode_number(value: float) -> Any:
    return value if math.isfinite(value) else {_NUMBER: repr(value)}


def _encode_object(value: Mapping[Any, Any]) -> Any:
    if not all(isinstance(name, str) for name in value):
        raise Unreadable("an object whose names are no texts cannot be sent")
    document = {name: _encode_any(each) for name, each in value.items()}
    return {_OBJECT: document} if len(document) == 1 and next(iter(document)) in _WORDS else document


_PLAIN: Sequence[tuple[Any, Callable[[Any], Any]]] = (
    (str, str),  # of an enumeration, its value
    (bool | int | None, _same),
    (float, _encode_number),
    (datetime, lambda value: {_TIME: value.isoformat()}),
    (tuple, lambda value: {_TUPLE: [_encode_any(each) for each in value]}),
    (list, lambda value: [_encode_any(each) for each in value]),
    (Mapping, _encode_object),
)


def _decode_any(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode_any(each) for each in value]
    if not isinstance(value, dict):
        return value
    word = next(iter(value)) if len(value) == 1 else ""
    return _WORDS[word](value[word]) if word in _WORDS else _decode_object(value)


def _decode_object(value: Any) -> Mapping[str, Any]:
    return {name: _decode_any(each) for name, each in _object(value).items()}


def _decode_number(value: Any) -> float:
    if value not in {"nan", "inf", "-inf"}:
        raise Unreadable(f"expected nan, inf or -inf, got {_shown(value)}")
    return float(value)


_WORDS: Mapping[str, Callable[[Any], Any]] = {
    _TIME: _decode_time,
    _TUPLE: lambda value: tuple(_decode_any(value)),
    _NUMBER: _decode_number,
    _OBJECT: _decode_object,
}


def _shown(value: Any) -> str:
    """Its kind alone: it may be a secret."""
    return "nothing" if value is None else f"a {type(value).__name__}"
