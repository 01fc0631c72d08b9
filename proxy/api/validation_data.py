"""Digests that a client states for data it has put somewhere itself. Pure.

Source: glance/api/v2/images.py, _validate_validation_data and _validate_hashing_data.
"""

import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from proxy.errors import BadRequest, StateConflict
from upstream.types import Image, Status

HASHING_ALGORITHM = "sha512"
NOTHING: Mapping[str, str] = MappingProxyType({})


def check_stated(stated: Mapping[str, str]) -> None:
    """The form of what POST …/locations states. Raises BadRequest."""
    if "os_hash_value" in stated:
        wrong = _wrong_digest("os_hash_value", stated["os_hash_value"], stated["os_hash_algo"])
        if wrong:
            raise BadRequest(wrong)


def taken_over(image: Image, status: Status, stated: Iterable[Mapping[str, str]]) -> Mapping[str, str]:
    """The columns that a PATCH of locations sets: of a queued image what is stated, of any other nothing new.

    Raises StateConflict for values that contradict each other or the image, or that cannot be digests.
    """
    merged: dict[str, str] = {}
    for one in stated:
        for name, value in one.items():
            if merged.setdefault(name, value) != value:
                raise StateConflict(f"Conflicting values for {name}")
    new = {name: value for name, value in merged.items() if getattr(image, name) != value}
    for name in new:
        if getattr(image, name):
            raise StateConflict(f"{name} is already set with a different value")
    if not new:
        return NOTHING
    if status is not Status.QUEUED:
        raise StateConflict(f"New values for {', '.join(new)} may only be given while the image is queued.")
    _check_digests(new)
    return new


def _check_digests(new: Mapping[str, str]) -> None:
    if new.get("os_hash_algo") != HASHING_ALGORITHM:
        raise StateConflict(f"os_hash_algo must be {HASHING_ALGORITHM}, not {new.get('os_hash_algo')}")
    digests = (("checksum", "md5"), ("os_hash_value", HASHING_ALGORITHM))
    for name, algorithm in digests:
        if name in new and (wrong := _wrong_digest(name, new[name], algorithm)):
            raise StateConflict(wrong)


def _wrong_digest(name: str, value: str, algorithm: str) -> str | None:
    want_bytes = hashlib.new(algorithm, usedforsecurity=False).digest_size
    try:
        digest = bytes.fromhex(value)
    except ValueError:
        return f"{name} ({value}) is not a valid hexadecimal value"
    if len(digest) != want_bytes:
        return f"{name} ({value}) has {len(digest)} bytes, {algorithm} has {want_bytes}"
    return None
