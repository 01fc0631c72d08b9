"""The query strings of metadata definitions. Pure.

Of a parameter that comes twice the first value counts, of most filters the last.
Everything raises BadRequest. Source: the RequestDeserializers of glance/api/v2/metadef_*.py.
"""

from collections.abc import Collection, Sequence

from proxy.api.config import ApiConfig
from proxy.errors import BadRequest
from upstream.registry import NamespaceQuery, TagQuery

Parameters = Sequence[tuple[str, str]]

_LIMIT_MAX = 2**31 - 1
_NAMESPACE_VISIBILITIES = ("public", "private")
_ITEM_VISIBILITIES = (*_NAMESPACE_VISIBILITIES, "shared")


def namespaces(parameters: Parameters, config: ApiConfig) -> NamespaceQuery:
    limit = _first(parameters, "limit")
    resource_types = dict(parameters).get("resource_types")
    return NamespaceQuery(
        visibility=_visibility(parameters, _NAMESPACE_VISIBILITIES),
        resource_types=None if resource_types is None else tuple(resource_types.split(",")),
        sort_key=_sort_key(parameters),
        descending=_is_descending(parameters),
        marker=_first(parameters, "marker"),
        limit=min(config.limit_param_default if limit is None else _limit(limit, 0), config.api_limit_max),
    )


def tags(parameters: Parameters) -> TagQuery:
    """Filters are checked and do nothing, as in Glance; an empty marker or limit is none."""
    _visibility(parameters, _ITEM_VISIBILITIES)
    limit = _first(parameters, "limit")
    return TagQuery(
        sort_key=_sort_key(parameters),
        descending=_is_descending(parameters),
        marker=_first(parameters, "marker") or None,
        limit=_limit(limit, 0) if limit else None,
    )


def check_objects(parameters: Parameters) -> None:
    """All objects come in one answer, whatever is asked; what is asked is checked all the same, as in Glance."""
    _visibility(parameters, _ITEM_VISIBILITIES)
    _is_descending(parameters)
    if (limit := _first(parameters, "limit")) is not None:
        _limit(limit, 1)


def resource_type(parameters: Parameters) -> str | None:
    """The resource type for which names are to be prefixed, if any."""
    return dict(parameters).get("resource_type") or None


def namespace(parameters: Parameters) -> str | None:
    """The resource type, as above; a visibility is checked and does nothing."""
    _visibility(parameters, _NAMESPACE_VISIBILITIES)
    return resource_type(parameters)


def _first(parameters: Parameters, name: str) -> str | None:
    return next((value for key, value in parameters if key == name), None)


def _sort_key(parameters: Parameters) -> str:
    """What is no column is told by the registry."""
    key = _first(parameters, "sort_key")
    return "created_at" if key is None else key


def _is_descending(parameters: Parameters) -> bool:
    direction = _first(parameters, "sort_dir")
    if direction not in {None, "asc", "desc"}:
        raise BadRequest(f"Invalid sort direction: {direction}. It must be one of asc, desc.")
    return direction != "asc"


def _limit(value: str, least: int) -> int:
    try:
        limit = int(value)
    except ValueError:
        raise BadRequest(f"limit param must be an integer, got {value[:40]!r}") from None
    if limit < least:
        raise BadRequest(f"limit param must be at least {least}")
    return min(limit, _LIMIT_MAX)


def _visibility(parameters: Parameters, choices: Collection[str]) -> str | None:
    """Checked is the last, what counts is the first."""
    value = dict(parameters).get("visibility")
    if value and value not in choices:
        raise BadRequest(f"Invalid visibility value: {value}. It must be one of {', '.join(choices)}.")
    return _first(parameters, "visibility")
