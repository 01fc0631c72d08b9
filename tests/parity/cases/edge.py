"""Before and around the API: pages of other origins, proxies that say how they were reached, callers without a name."""

from tests.parity.model import (
    ACCEPT_JSON,
    NOBODY,
    OCTETS,
    Case,
    Persona,
    Step,
    Variant,
    case,
    create,
    create_raw,
    delete,
    download,
    get,
    patch,
    put,
    request,
    show,
    upload,
)
from tests.parity.variants import DASHBOARD

_EDGE: frozenset[Variant] = frozenset({"edge"})
_ANY: frozenset[Variant] = frozenset({"default", "edge"})
_ORIGIN = {"Origin": DASHBOARD}
_STRANGE = {"Origin": "http://strange.example.org"}


def _preflight(
    path: str = "/v2/images", *, method: str | None = "POST", headers: str | None = None, origin: str = DASHBOARD
) -> Step:
    said = {"Origin": origin}
    if method is not None:
        said["Access-Control-Request-Method"] = method
    if headers is not None:
        said["Access-Control-Request-Headers"] = headers
    return request("OPTIONS", path, by="anonymous", headers=said)


def _through(**headers: str) -> tuple[Step, ...]:
    """What tells of the URL that a client used."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return (
        get("/versions", by="anonymous", headers=sent),
        get("/", by="anonymous", headers=sent),
        get("/v2", headers=sent),
        request("POST", "/v2/images", headers=sent, json_body={"name": "{uniq}"}, captures={"made": "id"}),
        request("DELETE", "/v2/images/{made}"),
    )


_NAMELESS: tuple[Persona, ...] = ("anonymous", "stranger")

CASES: tuple[Case, ...] = (
    case(
        "a page of an allowed origin",
        *(get(path, headers=_ORIGIN) for path in ("/v2/schemas/member", "/v2/junk", "/versions", "/", "/v3/x")),
        get("/v2/images", by="anonymous", headers=_ORIGIN),
        get("/v2/images?limit=junk", headers={**_ORIGIN, **ACCEPT_JSON}),
        get("/healthcheck", by="anonymous", headers=_ORIGIN),
        create_raw(),
        upload(),
        download(headers=_ORIGIN),
        request("HEAD", "/v2/images/{id}", headers=_ORIGIN),
        request("DELETE", "/v2/images/{id}", headers=_ORIGIN),
        variants=_ANY,
    ),
    case(
        "a page of another origin",
        get("/v2/schemas/member", headers=_STRANGE),
        get("/v2/schemas/member", headers={"Origin": DASHBOARD.upper()}),
        get("/v2/schemas/member", headers={"Origin": f"{DASHBOARD}/"}),
        get("/v2/schemas/member", headers={"Origin": "null"}),
        get("/v2/schemas/member", headers={"Origin": ""}),
        _preflight(origin="http://strange.example.org"),
        variants=_ANY,
    ),
    case(
        "preflights",
        *(_preflight(method=method) for method in ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "post")),
        _preflight(method=None),
        _preflight(headers="X-Auth-Token"),
        _preflight(headers="x-auth-token, content-type,Accept"),
        _preflight(headers="X-Auth-Token,X-Other"),
        _preflight(headers=""),
        _preflight(headers=" , "),
        _preflight(headers="x-image-meta-checksum,content-md5,X-OpenStack-Request-ID,X-Storage-Token"),
        variants=_ANY,
    ),
    case(
        "preflights elsewhere",
        *(_preflight(path) for path in ("/", "/v2", "/v2/", "/v3/images", "/junk", f"/v2/images/{NOBODY}/file")),
        _preflight("/versions"),
        request("OPTIONS", "/", by="anonymous"),
        request("OPTIONS", "/junk", by="anonymous"),
        request("OPTIONS", "/v2/images", by="anonymous"),
        variants=_ANY,
    ),
    case("proxies that are not asked", *_through(X_Forwarded_Host="images.example.org", X_Forwarded_Prefix="/x")),
    case(
        "a proxy that is not asked says Forwarded",
        *_through(Forwarded="for=192.0.2.60;proto=https;host=images.example.org"),
    ),
    case(
        "a proxy that names its scheme and host",
        *_through(X_Forwarded_Proto="https", X_Forwarded_Host="images.example.org"),
        *_through(X_Forwarded_Proto="https"),
        *_through(X_Forwarded_Host="images.example.org:8443"),
        *_through(X_Forwarded_Proto="https", X_Forwarded_Host="images.example.org:443"),
        *_through(X_Forwarded_Host="images.example.org:80", X_Forwarded_For="192.0.2.7"),
        variants=_EDGE,
    ),
    case(
        "a proxy that names a prefix",
        *_through(X_Forwarded_Prefix="/image"),
        *_through(X_Forwarded_Prefix="/image/", X_Forwarded_Proto="https"),
        variants=_EDGE,
    ),
    case(
        "a proxy that says Forwarded",
        *_through(Forwarded="for=192.0.2.60;proto=https;host=images.example.org"),
        *_through(Forwarded="Proto=https ; Host=a.example.org, proto=http;host=b.example.org"),
        *_through(Forwarded="host=a.example.org", X_Forwarded_Host="b.example.org"),
        *_through(Forwarded="nonsense", X_Forwarded_Host="b.example.org"),
        *_through(Forwarded="", X_Forwarded_Host="b.example.org"),
        variants=_EDGE,
    ),
    case(
        "a detailed health check that is disabled",
        get("/healthcheck", by="anonymous"),
        request("HEAD", "/healthcheck", by="anonymous"),
        get("/healthcheck", by="anonymous", headers=ACCEPT_JSON),
        get("/healthcheck", by="anonymous", headers={"Accept": "text/html"}),
        get("/healthcheck", by="anonymous", headers={"Accept": "text/html;q=0.5, application/json;q=0.9"}),
        get("/healthcheck", by="anonymous", headers={"Accept": "text/*, application/json"}),
        request("OPTIONS", "/healthcheck", by="anonymous", headers=_ORIGIN),
        variants=_EDGE,
    ),
    *(
        case(
            f"what {persona} may do where anonymous access is allowed",
            create(visibility="shared"),
            *(get(path, by=persona) for path in ("/v2/images", "/v2/images/{id}", "/v2/images/{id}/file")),
            *(
                get(path, by=persona)
                for path in ("/v2/schemas/image", "/v2/info/import", "/v2/info/stores", "/v2/junk")
            ),
            get("/v2/cache", by=persona),
            get("/v2/images", by=persona, headers=ACCEPT_JSON),
            request("POST", "/v2/images", by=persona, json_body={}),
            patch(put("/name", "x"), by=persona),
            request("PUT", "/v2/images/{id}/file", by=persona, headers=OCTETS, body=b"data"),
            request("PUT", "/v2/images/{id}/tags/t", by=persona),
            request("DELETE", "/v2/images/{id}", by=persona),
            request("POST", "/v2/images/{id}/locations", by=persona, json_body={"url": "{origin}/blob"}),
            request("GET", "/v2/schemas/member", by=persona, headers={"X-OpenStack-Request-ID": "mine"}),
            show(),
            delete(),
            variants=_EDGE,
        )
        for persona in _NAMELESS
    ),
)
