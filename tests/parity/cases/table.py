"""All groups in one table; a group is one file of recorded answers."""

from collections.abc import Mapping

from tests.parity.cases import (
    actions,
    cache,
    creating,
    data,
    discovery,
    http_edge,
    listing,
    location_patches,
    locations,
    members,
    metadef_contents,
    metadef_lists,
    metadef_namespaces,
    metadef_schemas,
    metadef_tags,
    patching,
    showing,
    tags,
    versions,
    visibility,
)
from tests.parity.model import Case

GROUPS: Mapping[str, tuple[Case, ...]] = {
    "versions": versions.CASES,
    "http_edge": http_edge.CASES,
    "creating": creating.CASES,
    "showing": showing.CASES,
    "listing": listing.CASES,
    "patching": patching.CASES,
    "tags": tags.CASES,
    "data": data.CASES,
    "locations": locations.CASES,
    "location_patches": location_patches.CASES,
    "discovery": discovery.CASES,
    "visibility": visibility.CASES,
    "members": members.CASES,
    "actions": actions.CASES,
    "metadef_namespaces": metadef_namespaces.CASES,
    "metadef_schemas": metadef_schemas.CASES,
    "metadef_lists": metadef_lists.CASES,
    "metadef_contents": metadef_contents.CASES,
    "metadef_tags": metadef_tags.CASES,
    "cache": cache.CASES,
}
