"""What went wrong, by its name and fields: it comes out as the very exception that it was. Pure."""

from collections.abc import Mapping
from typing import Any

from upstream import errors
from upstream.errors import UpstreamError
from upstream.registry.wire.codec import Unreadable, codec

_KINDS: Mapping[str, type[UpstreamError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, UpstreamError)
}
_any = codec(Any)


def to_document(error: UpstreamError) -> Mapping[str, Any]:
    """A class that only the other side knows goes as the nearest one of all."""
    name = next(each.__name__ for each in type(error).__mro__ if _KINDS.get(each.__name__) is each)
    fields = {key: _any.encode(value) for key, value in vars(error).items() if not key.startswith("_")}
    return {"error": name, "message": str(error), "fields": fields}


def from_document(document: Any) -> UpstreamError:
    """Raises Unreadable for what is no error that we know."""
    try:
        kind, message, fields = _KINDS[document["error"]], document["message"], _any.decode(document["fields"])
        error = kind.__new__(kind, message)
        for name, value in fields.items():
            setattr(error, name, value)
    except (AttributeError, KeyError, TypeError) as problem:
        raise Unreadable("an error that this Glint does not know") from problem
    return error
