"""Locations of images in a Ceph, as glance_store writes them. Pure.

Source: glance_store/_drivers/rbd.py, StoreLocation.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from upstream.errors import Invalid
from upstream.stores.locations import KIND_OF_SCHEME, redacted, scheme_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RbdTarget:
    """An RBD image, or a snapshot of one. What is None is left to the store: its cluster, its pool, no snapshot."""

    image: str
    fsid: str | None = None
    pool: str | None = None
    snapshot: str | None = None


def rbd_url(fsid: str, pool: str, image: str, snapshot: str) -> str:
    """The location of a new image: each part quoted, its slashes too."""
    return "rbd://" + "/".join(quote(part, safe="") for part in (fsid, pool, image, snapshot))


def parse_rbd(url: str) -> RbdTarget:
    """Raises Invalid for anything but `rbd://FSID/POOL/IMAGE/SNAPSHOT`, its parts quoted, and `rbd://IMAGE`.

    The short form is not unquoted, as glance_store does not quote what it writes there.
    """
    scheme = scheme_of(url)
    if KIND_OF_SCHEME[scheme] != "rbd":
        raise Invalid(f"not a location in a Ceph: {redacted(url)}")
    pieces = url[len(scheme) + len("://") :].split("/")
    if len(pieces) not in {1, 4} or not all(pieces):
        raise Invalid(
            f"an rbd location has the form rbd://FSID/POOL/IMAGE/SNAPSHOT or rbd://IMAGE, not {redacted(url)}"
        )
    try:
        parts = pieces if len(pieces) == 1 else [unquote(piece, errors="strict") for piece in pieces]
    except UnicodeDecodeError:
        raise Invalid("an rbd location must be UTF-8, quoted") from None
    if any("\0" in part for part in parts):
        raise Invalid("an rbd location must not contain a zero byte")
    if len(parts) == 1:
        return RbdTarget(image=parts[0])
    fsid, pool, image, snapshot = parts
    return RbdTarget(fsid=fsid, pool=pool, image=image, snapshot=snapshot)
