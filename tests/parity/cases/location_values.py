"""What the location cases share. The origin serves 64 KiB at `/blob`."""

import hashlib
from typing import Any

from tests.parity.model import Persona, Step, download, get
from tests.parity.origin import BLOB

BLOB_URL = "{origin}/blob"

SHA512 = hashlib.sha512(BLOB).hexdigest()

SHA256 = hashlib.sha256(BLOB).hexdigest()

MD5 = hashlib.md5(BLOB).hexdigest()

RIGHT = {"os_hash_algo": "sha512", "os_hash_value": SHA512}

REFUSED: dict[str, Any] = {
    "no algorithm": {"os_hash_value": SHA512},
    "no value": {"os_hash_algo": "sha512"},
    "only md5": {"checksum": MD5},
    "a right md5 beside": {**RIGHT, "checksum": MD5},
    "unknown algorithm": {"os_hash_algo": "crc32", "os_hash_value": SHA512},
    "value too short": {"os_hash_algo": "sha512", "os_hash_value": "abc"},
    "value no hex": {"os_hash_algo": "sha512", "os_hash_value": "z" * 128},
    "checksum too short": {**RIGHT, "checksum": "abc"},
    "a string": "x",
    "an unknown key": {**RIGHT, "junk": "x"},
    "null": None,
}

WRONG: dict[str, Any] = {
    "wrong digest": {"os_hash_algo": "sha512", "os_hash_value": "0" * 128},
}

BAD_URLS = (
    "ftp://127.0.0.1/x",
    "file:///etc/passwd",
    "swift://x/y",
    "junk",
    "",
    "http://",
    "http:///x",
    "https://127.0.0.1:1/x",
    "{origin}/missing",
    "{origin}/denied",
    "{origin}/broken",
    "http://127.0.0.1:1/x",
    "{origin}/blob#x",
    "http://user:pw@127.0.0.1:1/x",
    "{origin}/a b",
)


def at(url: str = BLOB_URL, **more: Any) -> dict[str, Any]:
    return {"url": url, "metadata": {}, **more}


def locations(by: Persona) -> Step:
    return get("/v2/images/{id}/locations", by=by)


READ: tuple[Step, ...] = (
    download(),
    download(headers={"Range": "bytes=0-9"}),
    download(headers={"Content-Range": "bytes 0-9/65536"}),
)
