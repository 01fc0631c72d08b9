"""Versions, version negotiation and the health check: everything before authentication."""

from tests.parity.model import ACCEPT_JSON, Case, Variant, case, get, request

_BOTH: frozenset[Variant] = frozenset({"default", "nocache"})
_PREFIXES = ("v1", "v2.0", "v2.1", "v2.7", "v2.8", "v2.9", "v2.13", "v2.14", "v2.15", "v2.16", "v2.17", "v2.18")
_UNKNOWN = ("v2.19", "v3", "v2.x", "v", "v02", "V2")


def _media(version: str) -> dict[str, str]:
    return {"Accept": f"application/vnd.openstack.images-{version}"}


CASES: tuple[Case, ...] = (
    case("root lists the versions", get("/", by="anonymous"), variants=_BOTH),
    case("versions lists the versions", get("/versions", by="anonymous"), variants=_BOTH),
    case(
        "other forms of the version list",
        get("/versions/", by="anonymous"),
        get("/versions?limit=1", by="anonymous"),
        get("/", by="anonymous", headers=ACCEPT_JSON),
        get("/", by="anonymous", headers={"Accept": "text/html"}),
        get("//", by="anonymous"),
        request("POST", "/", by="anonymous", json_body={}),
        request("POST", "/versions", by="anonymous", json_body={}),
        request("HEAD", "/", by="anonymous"),
        request("HEAD", "/versions", by="anonymous"),
        request("DELETE", "/versions", by="anonymous"),
        request("OPTIONS", "/versions", by="anonymous"),
    ),
    *(case(f"prefix {v} selects the API", get(f"/{v}/schemas/member"), variants=_BOTH) for v in _PREFIXES),
    *(case(f"prefix {v} is unknown", get(f"/{v}/schemas/member"), get(f"/{v}")) for v in _UNKNOWN),
    case(
        "the version alone",
        get("/v2"),
        get("/v2/"),
        get("/v2", by="anonymous"),
        get("/v2/", headers=ACCEPT_JSON),
        get("/v2.9"),
    ),
    case(
        "Accept selects a version", get("/schemas/member", headers=_media("v2.9")), get("/images", headers=_media("v1"))
    ),
    case(
        "Accept with an unknown version",
        get("/schemas/member", headers=_media("v2.99")),
        get("/schemas/member", headers=_media("junk")),
        get("/v2/schemas/member", headers=_media("v2.99")),
    ),
    case(
        "no version at all",
        get("/images"),
        get("/images", by="anonymous"),
        get("/junk/junk", headers=ACCEPT_JSON),
        get("/favicon.ico", by="anonymous"),
    ),
    case(
        "the health check",
        get("/healthcheck", by="anonymous"),
        request("HEAD", "/healthcheck", by="anonymous"),
        get("/healthcheck", by="anonymous", headers=ACCEPT_JSON),
        get("/healthcheck", by="anonymous", headers={"Accept": "text/html"}),
        get("/healthcheck", by="anonymous", headers={"Accept": "text/plain"}),
        get("/healthcheck", by="anonymous", headers={"Accept": "*/*"}),
        get("/healthcheck", by="anonymous", headers={"Accept": "image/png"}),
        get("/healthcheck", by="stranger"),
        get("/healthcheck/", by="anonymous"),
        get("/healthcheck/more", by="anonymous"),
        request("POST", "/healthcheck", by="anonymous", body=b""),
    ),
)
