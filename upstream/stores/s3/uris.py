"""Locations of objects in S3 stores, as glance_store writes them. Pure.

Rows of older releases hold an access key and a secret. These are passed over: what signs is the store's own
configuration, as in Glance, which takes them out of its rows when it reads them.
Source: glance_store/_drivers/s3.py, StoreLocation; glance/common/store_utils.py, _update_s3_location_credentials.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from upstream.errors import Invalid

_SCHEME = re.compile(r"(s3(?:\+https?)?)://", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_AMAZON = re.compile(r"s3[.-](?:dualstack\.)?(?:([a-z0-9-]+)\.)?amazonaws\.com(?:\.cn)?")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_NAME = re.compile(r"[^./\x00-\x20\x7f?#@][^/\x00-\x20\x7f?#@]{0,254}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a store is: `netloc` as configured, with the port if one was given."""

    scheme: str
    netloc: str

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """Raises ValueError for anything but scheme, host and perhaps a port."""
        scheme, colon, rest = url.partition("://")
        netloc = rest.rstrip("/")
        if not colon or scheme.lower() not in _PORTS or not _HOST.fullmatch(netloc) or (_split(netloc)[1] or 0) > 65535:
            raise ValueError('expected an endpoint such as "https://s3.example.org", without credentials and path')
        return cls(scheme.lower(), netloc)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    @property
    def host(self) -> str:
        return _split(self.netloc)[0]

    @property
    def port(self) -> int:
        return _split(self.netloc)[1] or _PORTS[self.scheme]

    @property
    def is_amazon(self) -> bool:
        return _AMAZON.fullmatch(self.host) is not None

    @property
    def region(self) -> str | None:
        """That of Amazon's own host names: s3.eu-west-1.amazonaws.com, and s3-eu-west-1 of the older ones."""
        match = _AMAZON.fullmatch(self.host)
        return match[1] if match else None

    def object_url(self, bucket: str, key: str, *, is_virtual: bool) -> str:
        """Where the object is asked for, quoted as it is signed."""
        path = quote(key, safe="~")
        if is_virtual:
            return f"{self.scheme}://{bucket}.{self.netloc}/{path}"
        return f"{self.url}/{quote(bucket, safe='~')}/{path}"

    def has(self, netloc: str) -> bool:
        """Whether a row with this host means this place. One without a port means the usual one."""
        host, port = _split(netloc)
        return host == self.host and (port or _PORTS[self.scheme]) == self.port


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What a location says, its credentials left out."""

    netloc: str
    bucket: str
    key: str


def parse_s3(url: str) -> ObjectName:
    """Raises Invalid, with a message that holds nothing of the URL: it may have a secret in it.

    Credentials end at the last "@" after which host, bucket and key still follow: secrets may hold slashes, and keys
    an "@".
    """
    match = _SCHEME.match(url)
    if match is None:
        raise Invalid("not a location of an S3 store: expected s3://HOST/BUCKET/KEY")
    rest = url[match.end() :]
    places = [at for at, char in enumerate(rest) if char == "@" and rest.count("/", at) >= 2]
    plain = rest[places[-1] + 1 :] if places else rest
    if "://" in plain or "?" in plain or "#" in plain or _UNPRINTABLE.search(plain):
        raise Invalid("an S3 location needs the form s3://HOST/BUCKET/KEY, one scheme and no query")
    host, *path = plain.strip("/").split("/")
    if len(path) != 2 or not all(path) or not _HOST.fullmatch(host):
        raise Invalid("an S3 location needs a host, a bucket and a key: s3://HOST/BUCKET/KEY")
    return ObjectName(host, path[0], path[1])


def located(store_id: str, endpoint: Endpoint, url: str) -> ObjectName:
    """The object of a location that lies at this endpoint. Raises Invalid for one that lies elsewhere.

    With the keys of this store another endpoint would be asked in vain, and would see them.
    """
    name = parse_s3(url)
    if not endpoint.has(name.netloc):
        raise Invalid(f"the location lies at another endpoint than the one that store {store_id} is configured for")
    return name


def s3_url(endpoint: Endpoint, bucket: str, image_id: str) -> str:
    """The location of a new image, without credentials, as Glance has written it since it takes them from the
    configuration. Plain http has the bare scheme.
    """
    return f"{_row_scheme(endpoint)}://{endpoint.netloc}/{bucket}/{image_id}"


def own_prefixes(endpoint: Endpoint, bucket: str) -> tuple[str, ...]:
    """Of rows without credentials; `without_keys` makes such of the others."""
    path = f"{endpoint.netloc}/{bucket}/" if bucket else f"{endpoint.netloc}/"
    return tuple(f"{scheme}://{path}" for scheme in ("s3", "s3+http", "s3+https"))


def without_keys(url: str) -> str:
    """A row as it may be shown: those of older releases hold an access key and its secret. Others are left alone."""
    match = _SCHEME.match(url)
    if match is None or "@" not in url:
        return url
    try:
        name = parse_s3(url)
    except Invalid:
        return f"{match[0]}{url.rpartition('@')[2]}"
    return f"{match[0]}{name.netloc}/{name.bucket}/{name.key}"


def check_image_id(image_id: str) -> None:
    """Raises Invalid if an object of this name could not be told in a location."""
    if not _NAME.fullmatch(image_id):
        raise Invalid("an image id must be one name of up to 255 characters, without . at its beginning")


def _row_scheme(endpoint: Endpoint) -> str:
    return "s3+https" if endpoint.scheme == "https" else "s3"


def _split(netloc: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(netloc)
    assert match is not None
    return match[1].lower(), int(match[2]) if match[2] else None
