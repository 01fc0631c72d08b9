"""POST and GET /v2/images/{id}/locations."""

from typing import Any

from tests.parity.cases.location_values import (
    BAD_URLS,
    BLOB_URL,
    MD5,
    READ,
    REFUSED,
    RIGHT,
    SHA256,
    SHA512,
    WRONG,
    at,
    locations,
)
from tests.parity.model import (
    ACCEPT_JSON,
    NOBODY,
    PATCH_V21,
    Case,
    Persona,
    Step,
    add,
    case,
    create_raw,
    delete,
    download,
    get,
    patch,
    put,
    remove,
    request,
    show,
    show_when,
    upload,
)

_ACCEPTED: dict[str, Any] = {
    "empty": {},
    "sha512": RIGHT,
    "md5": {"os_hash_algo": "md5", "os_hash_value": MD5},
    "sha256": {"os_hash_algo": "sha256", "os_hash_value": SHA256},
}

_BAD_BODIES: tuple[Any, ...] = ({}, [], {"URL": "x"}, {"url": 7}, {"url": None})


def _post(document: Any, by: Persona = "demo", of: str = "id", *, as_json: bool = False) -> Step:
    return request(
        "POST", f"/v2/images/{{{of}}}/locations", by=by, json_body=document, headers=ACCEPT_JSON if as_json else {}
    )


_settle = show_when(status="queued")

_GONE = (_settle, locations("admin"))

CASES: tuple[Case, ...] = (
    case(
        "a location without validation data",
        create_raw(),
        _post({"url": BLOB_URL}),
        show_when(status="active", os_hash_value=SHA512),
        *READ,
        locations("admin"),
        delete(),
    ),
    *(
        case(
            f"validation data: {name}",
            create_raw(),
            _post({"url": BLOB_URL, "validation_data": data}),
            show_when(status="active", os_hash_value=data.get("os_hash_value", SHA512)),
            *READ,
        )
        for name, data in _ACCEPTED.items()
    ),
    *(
        case(
            f"validation data refused: {name}",
            create_raw(),
            _post({"url": BLOB_URL, "validation_data": data}),
            _post({"url": BLOB_URL, "validation_data": data}, as_json=True),
            show_when(status="queued"),
        )
        for name, data in REFUSED.items()
    ),
    *(
        case(
            f"validation data that is not true: {name}",
            create_raw(),
            _post({"url": BLOB_URL, "validation_data": data}),
            show_when(status="queued"),
            download(),
            locations("admin"),
        )
        for name, data in WRONG.items()
    ),
    *(
        case(
            f"a bad URL {url!r}", create_raw(), _post({"url": url}), _settle, _post({"url": url}, as_json=True), *_GONE
        )
        for url in BAD_URLS
    ),
    *(
        case(
            f"a bad location document {document!r}",
            create_raw(),
            _post(document),
            show_when(status="queued"),
            _post(document, as_json=True),
        )
        for document in _BAD_BODIES
    ),
    case(
        "a redirected location",
        create_raw(),
        _post({"url": "{origin}/redirect"}),
        show_when(status="active", os_hash_value=SHA512),
        download(),
    ),
    case("a location redirected without a host", create_raw(), _post({"url": "{origin}/redirect-path"}), _settle),
    case("a location redirected in a circle", create_raw(), _post({"url": "{origin}/circle"}), _settle),
    case(
        "other keys are left alone",
        create_raw(),
        _post({"url": BLOB_URL, "metadata": {"a": "b"}, "junk": 1}),
        show_when(status="active", os_hash_value=SHA512),
        locations("admin"),
    ),
    case(
        "a second location",
        create_raw(),
        _post({"url": BLOB_URL}),
        show_when(status="active", os_hash_value=SHA512),
        _post({"url": "{origin}/other"}),
        _post({"url": BLOB_URL}),
        show(),
    ),
    case(
        "a location for an uploaded image",
        create_raw(),
        upload(),
        _post({"url": BLOB_URL}),
        _post({"url": BLOB_URL}, as_json=True),
        show(),
    ),
    case(
        "an upload to an image with a location",
        create_raw(),
        _post({"url": BLOB_URL}),
        show_when(status="active", os_hash_value=SHA512),
        upload(),
    ),
    case(
        "a location of nothing",
        request("POST", f"/v2/images/{NOBODY}/locations", json_body={"url": BLOB_URL}),
        get(f"/v2/images/{NOBODY}/locations", by="admin"),
        get(f"/v2/images/{NOBODY}/locations"),
    ),
    case(
        "who may add a location",
        create_raw(visibility="community"),
        _post({"url": BLOB_URL}, "viewer"),
        _post({"url": BLOB_URL}, "alt"),
        _post({"url": BLOB_URL}, "anonymous"),
        _post({"url": BLOB_URL}, "admin"),
        show_when(status="active", os_hash_value=SHA512),
    ),
    case("who may add to what they cannot see", create_raw(), _post({"url": BLOB_URL}, "alt")),
    case(
        "who may read locations",
        create_raw(),
        upload(),
        locations("demo"),
        locations("viewer"),
        locations("alt"),
        locations("admin"),
        locations("anonymous"),
    ),
    case(
        "locations of a queued image",
        create_raw(),
        locations("admin"),
        get("/v2/images/{id}/locations", headers=ACCEPT_JSON),
    ),
    case(
        "a location for an image without formats",
        request("POST", "/v2/images", json_body={"name": "{uniq}"}, captures={"id": "id"}),
        _post({"url": BLOB_URL}),
        _settle,
    ),
    case(
        "locations in a patch are off",
        create_raw(),
        patch(add("/locations/-", at())),
        patch(put("/locations", [at()])),
        patch(add("/locations/-", at()), headers={**PATCH_V21, **ACCEPT_JSON}),
        patch(remove("/locations/0")),
        patch(add("/locations/-", at()), by="admin"),
        show(),
    ),
)
