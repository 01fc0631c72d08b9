"""Location URIs as glance_store writes them: which kind of store reads them, and what they say.

Source: glance_store, the parse_uri of each driver, and its `get_uri` for the form of new rows.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from upstream.errors import Invalid
from upstream.stores.s3.uris import without_keys

KIND_OF_SCHEME: Mapping[str, str] = MappingProxyType(
    {
        "file": "file",
        "filesystem": "file",
        "http": "http",
        "https": "http",
        "swift": "swift",
        "swift+http": "swift",
        "swift+https": "swift",
        "swift+config": "swift",
        "s3": "s3",
        "s3+http": "s3",
        "s3+https": "s3",
        "rbd": "rbd",
        "cinder": "cinder",
        "vsphere": "vmware",
    }
)

# Glance also admits swift, s3, rbd and cinder here. Those URLs make Glint use its own credentials on what the user
# names, so they wait for the stores that can check whose data it is.
_EXTERNAL_SCHEMES = frozenset({"http", "https"})

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ENCRYPTED = re.compile(r"[A-Za-z0-9_-]{43,}={0,2}")  # two blocks of AES at least. Source: glance/common/crypt.py
_CUT = re.compile(r"[?#]")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """Where a request goes. `url` holds no credentials, but its query may be one, so it is not printed either."""

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Credentials meant for one origin are for no other. Source: RFC 6454, section 4."""
        return self.scheme, self.host, self.port


def redacted(url: str) -> str:
    """The URL as it may be printed: nothing of user info, query or fragment.

    Everything up to the last "@" is taken for user info, since S3 secrets hold slashes, and passwords anything:
    hiding too much harms nobody.
    """
    match = _SCHEME.match(url)
    if match is None:
        return "a location without a scheme"
    cut = _CUT.search(url, match.end())
    rest, hidden = url[match.end() : cut and cut.start()], url[cut.end() :] if cut else ""
    if "@" in hidden:  # a mark within a password, or an "@" within a query: which of them cannot be told
        return f"{match[0]}***"
    _, at, shown = rest.rpartition("@")
    printable = _UNPRINTABLE.sub("�", shown)
    return f"{match[0]}{'***@' if at else ''}{printable}{f'{cut[0]}***' if cut else ''}"


def scheme_of(url: str) -> str:
    """The scheme in lower case. Raises Invalid if there is none, or none that a store could read."""
    match = _SCHEME.match(url)
    if match is None and _ENCRYPTED.fullmatch(url) and len(url) % 4 == 0:
        raise Invalid("a location is encrypted, by the metadata_encryption_key of a Glance, and Glint has no such key")
    if match is None:
        raise Invalid("a location needs a scheme, such as https://")
    scheme = match[1].lower()
    if scheme not in KIND_OF_SCHEME:
        raise Invalid(f"no store reads locations with the scheme {scheme}")
    return scheme


def kind_of(url: str) -> str:
    """The kind of store that reads this URL, known here or not. Raises Invalid as `scheme_of`."""
    return KIND_OF_SCHEME[scheme_of(url)]


def check_external(url: str) -> None:
    """Whether a user may add this as a location of an image: raises Invalid if not."""
    scheme = scheme_of(url)
    if scheme not in _EXTERNAL_SCHEMES:
        raise Invalid(f"locations with the scheme {scheme} cannot be added: only http and https can")
    parse_http(url)


def file_url(folder: PurePosixPath, image_id: str) -> str:
    """The location of a new image, unquoted as glance_store writes it."""
    return f"file://{folder / image_id}"


def parse_file(url: str) -> PurePosixPath:
    """The path of a file location. Raises Invalid if it is no absolute path without "..".

    Nothing is unquoted, and "?" and "#" are part of the name: that is how rows are written.
    """
    scheme = scheme_of(url)
    if KIND_OF_SCHEME[scheme] != "file":
        raise Invalid(f"not a location of a file: {redacted(url)}")
    path = url[len(scheme) + len("://") :]
    if not path.startswith("/") or "\0" in path or ".." in PurePosixPath(path).parts:
        raise Invalid("a file location needs an absolute path without ..")
    return PurePosixPath(path)


def parse_http(url: str) -> HttpTarget:
    """The target of an http location, credentials apart. Raises Invalid if a request cannot be made of it.

    User and password are unquoted and parted at the first colon; a user without a password is refused, as
    glance_store does, and one with a colon, which RFC 7617 cannot express.
    """
    scheme = scheme_of(url)
    if KIND_OF_SCHEME[scheme] != "http":
        raise Invalid(f"not a location behind http: {redacted(url)}")
    if _UNPRINTABLE.search(url):
        raise Invalid("an http location must not contain spaces or control characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # The parser's own message quotes what it could not read, which may be a password.
        raise Invalid(f"the host of {redacted(url)} cannot be read") from None
    if not host:
        raise Invalid(f"an http location needs a host: {redacted(url)}")
    credentials, at, address = parts.netloc.rpartition("@")
    user, colon, password = credentials.partition(":")
    if at and (not (user and colon) or ":" in unquote(user)):
        raise Invalid(f"the credentials in {redacted(url)} need the form user:password")
    return HttpTarget(
        url=urlunsplit((scheme, address, parts.path or "/", parts.query, "")),
        scheme=scheme,
        host=host,
        port=port or {"http": 80, "https": 443}[scheme],
        user=unquote(user) if at else None,
        password=unquote(password) if at else None,
    )


def redirected(target: HttpTarget, where: str) -> HttpTarget:
    """The next target; its credentials are the old ones only if the origin is the same. Raises Invalid."""
    try:
        there = parse_http(urljoin(target.url, where))
    except ValueError:
        raise Invalid(f"the place that {redacted(target.url)} redirects to cannot be read") from None
    if there.user is not None or there.origin != target.origin:
        return there
    return HttpTarget(
        url=there.url,
        scheme=there.scheme,
        host=there.host,
        port=there.port,
        user=target.user,
        password=target.password,
    )


def infer_store(url: str, prefixes: Iterable[tuple[str, str]]) -> str | None:
    """The store of a row that names none, or one that is gone: the longest of (prefix, store id) that fits.

    `filesystem://` is another spelling of `file://`; keys in rows of S3 stores say nothing.
    Source: glance/common/store_utils.py.
    """
    url = without_keys(url)
    match = _SCHEME.match(url)
    if match is None:
        return None
    scheme = {"filesystem": "file"}.get(match[1].lower(), match[1].lower())
    plain = f"{scheme}://{url[match.end() :]}"
    fitting = [(len(prefix), store) for prefix, store in prefixes if plain.startswith(prefix)]
    return max(fitting, key=lambda found: found[0])[1] if fitting else None
