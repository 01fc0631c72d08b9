"""What tokens look like in a memcached that others can read and write: names that tell nothing, values that hold."""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Strategy = Literal["none", "mac", "encrypt"]

_NONCE_BYTES = 12
_TAG_BYTES = 32
_NAME_PREFIX = "glint:token:1:"


class Forged(Exception):
    """The value was not made by us for this name: another key, another strategy, another name, or changed."""


class Seal(Protocol):
    """Turns a document into bytes that only the holder of the key can make, and back."""

    def name(self, token: bytes) -> str:
        """Under which name the token's document lies. The token cannot be found from it."""

    def close(self, name: str, document: Mapping[str, Any]) -> bytes: ...

    def open(self, name: str, value: bytes) -> Mapping[str, Any]:
        """Raises Forged."""


def seal_for(strategy: Strategy, secret_key: str | None) -> Seal:
    """`secret_key` is not used by the strategy none, which trusts whoever can write to memcached."""
    if strategy == "none":
        return _Plain()
    assert secret_key
    key = secret_key.encode()
    return _Authenticated(key) if strategy == "mac" else _Encrypted(key)


def _derive(key: bytes, purpose: str) -> bytes:
    """A key for one purpose only, so that what one leaks does not help against the other."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"glint token cache 1 {purpose}".encode()).derive(key)


def _pack(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _unpack(data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Forged("the value is no JSON") from error
    if not isinstance(document, dict):
        raise Forged("the value is no JSON object")
    return document


class _Plain:
    """Names by SHA-256: a token has so much chance in it that it cannot be guessed from its digest."""

    def name(self, token: bytes) -> str:
        return _NAME_PREFIX + "n:" + hashlib.sha256(token).hexdigest()

    def close(self, name: str, document: Mapping[str, Any]) -> bytes:
        return _pack(document)

    def open(self, name: str, value: bytes) -> Mapping[str, Any]:
        return _unpack(value)


class _Authenticated:
    """HMAC-SHA256 over name and value, before the value."""

    def __init__(self, key: bytes) -> None:
        self._name_key, self._mac_key = _derive(key, "mac: name"), _derive(key, "mac: value")

    def name(self, token: bytes) -> str:
        return _NAME_PREFIX + "m:" + hmac.digest(self._name_key, token, "sha256").hex()

    def close(self, name: str, document: Mapping[str, Any]) -> bytes:
        data = _pack(document)
        return self._tag(name, data) + data

    def open(self, name: str, value: bytes) -> Mapping[str, Any]:
        tag, data = value[:_TAG_BYTES], value[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(name, data)):
            raise Forged("the value's tag is wrong")
        return _unpack(data)

    def _tag(self, name: str, data: bytes) -> bytes:
        return hmac.digest(self._mac_key, name.encode() + b"\0" + data, "sha256")


class _Encrypted:
    """AES-256-GCM with the name as associated data; a random nonce stands before the value."""

    def __init__(self, key: bytes) -> None:
        self._name_key, self._cipher = _derive(key, "encrypt: name"), AESGCM(_derive(key, "encrypt: value"))

    def name(self, token: bytes) -> str:
        return _NAME_PREFIX + "e:" + hmac.digest(self._name_key, token, "sha256").hex()

    def close(self, name: str, document: Mapping[str, Any]) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, _pack(document), name.encode())

    def open(self, name: str, value: bytes) -> Mapping[str, Any]:
        nonce, data = value[:_NONCE_BYTES], value[_NONCE_BYTES:]
        try:
            return _unpack(self._cipher.decrypt(nonce, data, name.encode()))
        except (InvalidTag, ValueError) as error:  # ValueError: a nonce that is too short
            raise Forged("the value cannot be decrypted") from error
