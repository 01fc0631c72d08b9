"""`/locations` in a PATCH, where locations are shown."""

from typing import Any

from tests.parity.cases.location_values import (
    BAD_URLS,
    BLOB_URL,
    MD5,
    READ,
    REFUSED,
    RIGHT,
    SHA512,
    WRONG,
    at,
    locations,
)
from tests.parity.model import (
    ACCEPT_JSON,
    PATCH_V20,
    PATCH_V21,
    Case,
    Variant,
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

_SHOWN: frozenset[Variant] = frozenset({"locations"})

_BAD_LOCATIONS: tuple[Any, ...] = (
    {},
    {"url": BLOB_URL},
    {"metadata": {}},
    "x",
    {"url": BLOB_URL, "metadata": "x"},
    {"url": BLOB_URL, "metadata": {}, "junk": 1},
    [],
)

CASES: tuple[Case, ...] = (
    case(
        "add a location by patch",
        create_raw(),
        patch(add("/locations/-", at())),
        show(),
        *READ,
        locations("admin"),
        delete(),
        variants=_SHOWN,
    ),
    case(
        "add a location by patch as admin",
        create_raw(),
        patch(add("/locations/-", at()), by="admin"),
        show(by="admin"),
        variants=_SHOWN,
    ),
    case(
        "add with validation data",
        create_raw(),
        patch(add("/locations/-", at(validation_data={**RIGHT, "checksum": MD5}))),
        show(),
        download(),
        patch(add("/locations/-", at("{origin}/other", validation_data=RIGHT))),
        variants=_SHOWN,
    ),
    *(
        case(
            f"add with validation data: {n}",
            create_raw(),
            patch(add("/locations/-", at(validation_data=d))),
            show(),
            variants=_SHOWN,
        )
        for n, d in {**REFUSED, **WRONG}.items()
    ),
    *(
        case(f"add a bad URL {u!r} by patch", create_raw(), patch(add("/locations/-", at(u))), show(), variants=_SHOWN)
        for u in BAD_URLS
    ),
    *(
        case(
            f"add a bad location {v!r} by patch",
            create_raw(),
            patch(add("/locations/-", v)),
            patch(add("/locations/-", v), headers={**PATCH_V21, **ACCEPT_JSON}),
            variants=_SHOWN,
        )
        for v in _BAD_LOCATIONS
    ),
    case(
        "locations at places",
        create_raw(),
        *(patch(add(f"/locations/{p}", at())) for p in ("x", "7", "-1", "0", "")),
        show(),
        patch(add("/locations", at())),
        patch(add("/locations/0/x", at())),
        variants=_SHOWN,
    ),
    case(
        "two locations",
        create_raw(),
        patch(add("/locations/-", at())),
        patch(add("/locations/0", at("{origin}/other"))),
        patch(add("/locations/-", at())),
        show(),
        download(),
        variants=_SHOWN,
    ),
    case(
        "remove locations",
        create_raw(),
        patch(add("/locations/-", at()), add("/locations/-", at("{origin}/other"))),
        patch(remove("/locations/1")),
        patch(remove("/locations/1"), by="admin"),
        patch(remove("/locations/5"), by="admin"),
        patch(remove("/locations/x"), by="admin"),
        patch(remove("/locations/0"), by="admin"),
        show(by="admin"),
        variants=_SHOWN,
    ),
    case(
        "replace locations",
        create_raw(),
        patch(put("/locations", [at()])),
        show(),
        patch(put("/locations", [at("{origin}/other")])),
        patch(put("/locations", [])),
        patch(put("/locations", [])),
        patch(put("/locations", [at(), at()]), by="admin"),
        patch(put("/locations", "x")),
        patch(put("/locations", [at(metadata={"a": "b"})])),
        patch(remove("/locations")),
        show(),
        variants=_SHOWN,
    ),
    case(
        "replace no locations",
        create_raw(),
        patch(put("/locations", [])),
        patch(remove("/locations/0")),
        show(),
        variants=_SHOWN,
    ),
    case(
        "a location beside an upload",
        create_raw(),
        upload(),
        show(),
        patch(add("/locations/-", at())),
        show(),
        download(),
        variants=_SHOWN,
    ),
    case(
        "locations with metadata",
        create_raw(),
        patch(add("/locations/-", at(metadata={"store": "web", "a": "b"}))),
        show(),
        locations("admin"),
        variants=_SHOWN,
    ),
    case(
        "who sees locations",
        create_raw(visibility="community"),
        upload(),
        show(),
        show(by="viewer"),
        show(by="alt"),
        show(by="admin"),
        variants=_SHOWN,
    ),
    case(
        "who may patch locations",
        create_raw(visibility="community"),
        *(patch(add("/locations/-", at()), by=p) for p in ("viewer", "alt", "anonymous")),
        variants=_SHOWN,
    ),
    case(
        "the older media type and locations",
        create_raw(),
        patch(
            {"add": "/locations/-", "value": at()},
            headers=PATCH_V20,
        ),
        show(),
        variants=_SHOWN,
    ),
    case("locations in a create", request("POST", "/v2/images", json_body={"locations": [at()]}), variants=_SHOWN),
    case(
        "the new location API beside the old",
        create_raw(),
        request("POST", "/v2/images/{id}/locations", json_body={"url": BLOB_URL}),
        show_when(status="active", os_hash_value=SHA512),
        variants=_SHOWN,
    ),
    case(
        "an image list shows locations",
        create_raw(lot="{uniq}"),
        patch(add("/locations/-", at())),
        get("/v2/images?lot={uniq}"),
        variants=_SHOWN,
    ),
)
