"""What becomes of a location that was posted: the service roles, the digests, and with `unhashed` none of them."""

from typing import Any

from tests.parity.cases.location_values import BLOB_URL, MD5, RIGHT, SHA512, locations
from tests.parity.model import (
    ACCEPT_JSON,
    Case,
    Persona,
    Step,
    Variant,
    case,
    create,
    create_raw,
    delete,
    download,
    patch,
    put,
    request,
    show,
    show_when,
    upload,
)

_UNHASHED: frozenset[Variant] = frozenset({"unhashed"})
_WRONG = {"os_hash_algo": "sha512", "os_hash_value": "0" * 128}


def _post(document: Any, by: Persona = "demo", *, as_json: bool = False) -> Step:
    headers = ACCEPT_JSON if as_json else {}
    return request("POST", "/v2/images/{id}/locations", by=by, json_body=document, headers=headers)


CASES: tuple[Case, ...] = (
    *(
        case(
            f"{who} adds a location",
            create_raw(visibility="community"),
            _post({"url": BLOB_URL, "validation_data": RIGHT}, who),
            show_when(os_hash_value=SHA512, status="active"),
            locations(who),
        )
        for who in ("nova", "service", "admin")
    ),
    *(
        case(
            f"{who} adds a location of a store",
            create_raw(visibility="community"),
            *(_post({"url": url}, who) for url in ("file:///etc/passwd", "swift+config://x/y/z", "rbd://x", "junk")),
            show_when(status="queued"),
        )
        for who in ("nova", "service", "admin")
    ),
    case(
        "a service adds to what it cannot see",
        create_raw(visibility="private"),
        _post({"url": BLOB_URL}, "service"),
        _post({"url": BLOB_URL}, "nova"),
        show_when(status="active", os_hash_value=SHA512),
        locations("service"),
        locations("nova"),
    ),
    case(
        "a service adds to an image without formats",
        create(visibility="community"),
        _post({"url": BLOB_URL, "validation_data": {"os_hash_algo": "sha512"}}, "nova"),
        _post({"url": BLOB_URL, "validation_data": {"os_hash_algo": "sha512"}}, "nova", as_json=True),
    ),
    case(
        "an image is deleted while its location is read",
        create_raw(),
        _post({"url": BLOB_URL}),
        delete(),
        show(),
        download(),
        locations("admin"),
        _post({"url": BLOB_URL}),
    ),
    case(
        "a second location at once",
        create_raw(),
        _post({"url": BLOB_URL, "validation_data": RIGHT}),
        _post({"url": BLOB_URL, "validation_data": RIGHT}),
        show_when(status="active", os_hash_value=SHA512),
        upload(),
    ),
    case(
        "digests in capitals",
        create_raw(),
        _post({"url": BLOB_URL, "validation_data": {"os_hash_algo": "md5", "os_hash_value": MD5.upper()}}),
        show_when(status="queued"),
    ),
    case(
        "validation data that are nothing",
        create_raw(),
        _post({"url": BLOB_URL, "validation_data": []}),
        _post({"url": BLOB_URL, "validation_data": ""}),
        _post({"url": BLOB_URL, "validation_data": {"os_hash_algo": None, "os_hash_value": None}}),
        _post({"url": BLOB_URL, "validation_data": {"os_hash_algo": "sha512", "os_hash_value": ""}}),
        _post({"url": BLOB_URL, "validation_data": {"os_hash_algo": "SHA512", "os_hash_value": SHA512}}),
        show_when(status="queued"),
    ),
    case(
        "a deactivated image and a location",
        create_raw(),
        upload(),
        request("POST", "/v2/images/{id}/actions/deactivate", by="admin"),
        _post({"url": BLOB_URL}),
        _post({"url": BLOB_URL}, "admin"),
        locations("admin"),
        locations("demo"),
    ),
    case(
        "a protected image may get a location",
        create_raw(protected=True),
        _post({"url": BLOB_URL}),
        show_when(status="active", os_hash_value=SHA512),
        delete(),
        patch(put("/protected", False)),
        delete(),
    ),
    case(
        "nothing is hashed",
        create_raw(),
        _post({"url": BLOB_URL}),
        show_when(status="active"),
        download(),
        variants=_UNHASHED,
    ),
    case(
        "digests are believed",
        create_raw(),
        _post({"url": BLOB_URL, "validation_data": RIGHT}),
        show_when(status="active"),
        download(),
        variants=_UNHASHED,
    ),
    case(
        "wrong digests are believed",
        create_raw(),
        _post({"url": BLOB_URL, "validation_data": _WRONG}),
        show_when(status="active"),
        download(),
        variants=_UNHASHED,
    ),
)
