"""Images as the cache knows them."""

import hashlib

from cache import Blob, Digest
from upstream.types import Image, Location

# Digests of variable length cannot be compared without knowing which length was meant.
_ALGORITHMS = frozenset(name for name in hashlib.algorithms_available if not name.startswith("shake"))


def blob_of(image: Image) -> Blob:
    """The image's id stands for its bytes, which never change."""
    digest = None
    if image.os_hash_value and image.os_hash_algo in _ALGORITHMS:
        digest = Digest(image.os_hash_algo, image.os_hash_value.lower())
    elif image.checksum:
        digest = Digest("md5", image.checksum.lower())
    return Blob(key=image.id, size_bytes=image.size_bytes, digest=digest)


def active_locations(image: Image) -> tuple[Location, ...]:
    return tuple(location for location in image.locations if location.status == "active")
