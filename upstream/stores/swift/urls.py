"""Locations in Swift as glance_store writes and reads them. Pure.

Source: glance_store/_drivers/swift/store.py, StoreLocation and get_container_name.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from upstream.errors import Invalid
from upstream.stores.locations import KIND_OF_SCHEME, redacted, scheme_of

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_BY_REFERENCE = "swift+config"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class SwiftTarget:
    """An object. Either `reference` names the account, or `address` is a URL: of the login, or of the account itself.

    Which of the two an address without credentials is, its text does not tell.
    """

    container: str
    name: str
    reference: str | None = None
    address: str = ""
    user: str | None = None
    key: str | None = field(default=None, repr=False)


def parse_swift(url: str) -> SwiftTarget:
    """Raises Invalid for what is no object in Swift, without a word of its credentials."""
    scheme = scheme_of(url)
    if KIND_OF_SCHEME[scheme] != "swift":
        raise Invalid(f"not a location in Swift: {redacted(url)}")
    if url.count("://") != 1:
        raise Invalid("a location in Swift has one scheme only, such as swift+http://user:key@host/v3/container/object")
    if _UNPRINTABLE.search(url) or "?" in url or "#" in url:
        raise Invalid("a location in Swift must not contain spaces, control characters, ? or #")
    place, _, name = url[len(scheme) + len("://") :].rpartition("/")
    place, _, container = place.rpartition("/")
    if not (place and container and name) or "@" in container + name:
        raise Invalid("a location in Swift needs a host or a reference, a container and an object")
    if scheme == _BY_REFERENCE:
        return SwiftTarget(container=container, name=name, reference=place.partition("/")[0])
    credentials, at, address = place.rpartition("@")
    user, colon, key = credentials.rpartition(":")
    if at and not (user and colon and key):
        raise Invalid("the credentials of a location in Swift need the form user:key")
    whole = f"{'http' if scheme == 'swift+http' else 'https'}://{address}"
    origin_of(whole)
    return SwiftTarget(
        container=container,
        name=name,
        address=whole,
        user=unquote(user) if at else None,
        key=unquote(key) if at else None,
    )


def reference_url(reference: str, container: str, name: str) -> str:
    """The location of a new object where rows hold no credentials."""
    return f"{_BY_REFERENCE}://{reference}/{container}/{name}"


def location_url(auth_address: str, user: str | None, key: str | None, container: str, name: str) -> str:
    """The location of a new object where they do. An application credential is in none.

    A slash is quoted too, which glance_store leaves out and reads all the same: its own rows with one are lost to it.
    """
    scheme = "swift+http" if auth_address.startswith("http://") else "swift+https"
    address = auth_address.partition("://")[2].strip("/")
    credentials = f"{quote(user, safe='')}:{quote(key, safe='')}@" if user and key else ""
    return f"{scheme}://{credentials}{address}/{container}/{name}"


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises Invalid if there is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Invalid("the host of a location in Swift cannot be read") from None
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise Invalid("a location in Swift needs a host")
    return parts.scheme, host.rstrip("."), port or _DEFAULT_PORTS[parts.scheme]


def container_of(image_id: str, container: str, seed: int) -> str:
    """Where an image goes if there are several containers: one for each first `seed` characters, dashes not counted.

    Only the dashes among those first characters are made up for, as glance_store does it.
    """
    if not seed:
        return container
    lower = image_id.lower()
    return f"{container}_{lower[: seed + lower[:seed].count('-')]}"


def segment_name(name: str, number: int) -> str:
    """Of the `number`th part of a large object, from 1 on."""
    return f"{name}-{number:05d}"


def is_segment(name: str, of: str) -> bool:
    """Whether it was written as a part of the large object `of`."""
    return re.fullmatch(rf"{re.escape(of)}-[0-9]{{5,}}", name) is not None


def manifest_parts(manifest: str, name: str) -> tuple[str, str] | None:
    """Container and prefix of the segments that an X-Object-Manifest names; None if others' data could be meant too.

    Its segments are called after the object, by every tool that makes some: a prefix that is not could be anybody's.
    """
    container, slash, prefix = unquote(manifest).partition("/")
    if not (container and slash and prefix.startswith(name)) or prefix[len(name) :][:1] not in ("-", "/", "_"):
        return None
    return container, prefix
