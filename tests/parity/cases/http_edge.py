"""What does not depend on the resource: methods, paths, bodies, error formats, tokens, request ids."""

from tests.parity.model import ACCEPT_JSON, NOBODY, OCTETS, Case, case, create, delete, get, request, show

_RESOURCES = (
    "/v2/images",
    f"/v2/images/{NOBODY}",
    f"/v2/images/{NOBODY}/file",
    f"/v2/images/{NOBODY}/tags/t",
    f"/v2/images/{NOBODY}/locations",
    "/v2/info/import",
    "/v2/info/stores",
    "/v2/schemas/image",
    "/v2/schemas/images",
    "/v2/schemas/member",
    "/v2/schemas/members",
    "/v2/schemas/task",
    "/v2/schemas/tasks",
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ALLOWED = {
    "/v2/images": ("GET", "POST"),
    f"/v2/images/{NOBODY}": ("GET", "PATCH", "DELETE"),
    f"/v2/images/{NOBODY}/file": ("GET", "PUT"),
    f"/v2/images/{NOBODY}/tags/t": ("PUT", "DELETE"),
    f"/v2/images/{NOBODY}/locations": ("GET", "POST"),
}
_TAG = f"/v2/images/{NOBODY}/tags/t"


def _wrong(path: str) -> Case:
    allowed = _ALLOWED.get(path, ("GET",))
    return case(f"wrong methods on {path}", *(request(m, path) for m in _METHODS if m not in allowed))


CASES: tuple[Case, ...] = (
    *map(_wrong, _RESOURCES),
    case("odd methods", *(request(m, "/v2/images") for m in ("PROPFIND", "BREW"))),
    case(
        "odd methods elsewhere",
        request("BREW", f"/v2/images/{NOBODY}"),
        request("BREW", "/v2/junk"),
        request("BREW", "/"),
        request("BREW", "/v2/images", by="anonymous"),
        request("BREW", "/v2/images", headers=ACCEPT_JSON),
    ),
    case(
        "unknown paths",
        get("/v2/junk"),
        get("/v2/images/"),
        get(f"/v2/images/{NOBODY}/junk"),
        get(f"/v2/images/{NOBODY}/"),
        get(f"/v2/images/{NOBODY}/file/"),
        get("/v2//images?lot={uniq}"),
        get("/v2/images/a/b/c/d"),
        get("/v2/schemas/junk"),
        get("/v2/info"),
        get("/v2/junk", headers=ACCEPT_JSON),
        get("/v2/junk", headers={"Accept": "text/html"}),
        get("/v2/junk", by="anonymous"),
        request("POST", "/v2/junk", json_body={}),
        request("DELETE", "/v2/junk"),
    ),
    case(
        "error formats",
        *(
            get(f"/v2/images/{NOBODY}", headers={"Accept": kind})
            for kind in (
                "application/json",
                "text/html",
                "text/plain",
                "*/*",
                "image/png",
                "text/html, application/json",
            )
        ),
        get(f"/v2/images/{NOBODY}"),
        request("PUT", "/v2/images", headers=ACCEPT_JSON),
        get("/v2/images?limit=-1", headers=ACCEPT_JSON),
        get("/v2/images?limit=-1", headers={"Accept": "*/*"}),
        get("/v2/images/<script>&amp;'"),
        get("/v2/images/<script>&amp;'", headers={"Accept": "text/html"}),
    ),
    case(
        "no token",
        get("/v2/images", by="anonymous"),
        get("/v2/images", by="anonymous", headers=ACCEPT_JSON),
        get("/v2/images", by="anonymous", headers={"Accept": "text/html"}),
        request("POST", "/v2/images", by="anonymous", json_body={}),
        request("PUT", f"/v2/images/{NOBODY}/file", by="anonymous", headers=OCTETS, body=b"data"),
        get("/v2/images", by="anonymous", headers={"X-Auth-Token": ""}),
    ),
    case(
        "a token nobody issued",
        get("/v2/images", by="stranger"),
        get("/v2/images", by="stranger", headers=ACCEPT_JSON),
        get("/v2/schemas/image", by="stranger"),
        request("PUT", f"/v2/images/{NOBODY}/file", by="stranger", headers=OCTETS, body=b"data"),
    ),
    case(
        "identity headers of a client are not believed",
        get(
            "/v2/images",
            by="anonymous",
            headers={"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-User-Id": "u", "X-Project-Id": "p"},
        ),
    ),
    case(
        "request ids",
        *(
            get("/v2/schemas/member", headers={"X-OpenStack-Request-ID": value})
            for value in ("mine", "req-mine", f"req-{NOBODY}", "x" * 64, "x" * 65, "", "a b", "REQ-mine")
        ),
        get("/v2/schemas/member"),
        get("/v2/images", by="anonymous", headers={"X-OpenStack-Request-ID": "mine"}),
        get("/versions", headers={"X-OpenStack-Request-ID": "mine"}),
        get("/v2/junk", headers={"X-OpenStack-Request-ID": "mine"}),
    ),
    case(
        "bodies where none is expected",
        create(),
        request("GET", "/v2/images/{id}", body=b"x"),
        request("GET", "/v2/images/{id}", body=b""),
        request("DELETE", "/v2/images/{id}", body=b"x"),
        request("GET", "/v2/images/{id}/file", body=b"x"),
        request("PUT", "/v2/images/{id}/tags/t", body=b"x"),
        request("PUT", "/v2/images/{id}/tags/t", body=b"x", chunked=True),
        request("DELETE", "/v2/images/{id}/tags/t", body=b"x"),
        request("GET", "/v2/schemas/image", body=b"x"),
        request("GET", "/v2/schemas/task", body=b"x"),
        request("GET", "/v2/info/import", body=b"x"),
        request("GET", "/v2/info/stores", body=b"x"),
        request("GET", "/v2/images?name={uniq}", body=b"x"),
        request("PUT", _TAG, body=b"x", headers=ACCEPT_JSON),
        show(),
        delete(),
    ),
    case(
        "bodies that are not the JSON asked for",
        *(
            request("POST", "/v2/images", headers={"Content-Type": "application/json"}, body=body)
            for body in (b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b'{"name": "\xff"}', b'{"a": 1, "a": 2}')
        ),
        request("POST", "/v2/images"),
        request("POST", "/v2/images", headers={"Content-Type": "application/json"}, body=b"{", chunked=True),
        request("POST", "/v2/images", headers={"Content-Type": "application/json", **ACCEPT_JSON}, body=b"{"),
        request("POST", "/v2/images", headers={"Content-Type": "application/json", **ACCEPT_JSON}, body=b"[]"),
    ),
    case(
        "a create with another content type or none",
        request(
            "POST", "/v2/images", headers={"Content-Type": "text/plain"}, body=b'{"name": "n"}', captures={"a": "id"}
        ),
        request("POST", "/v2/images", body=b'{"name": "n"}', captures={"b": "id"}),
        request("POST", "/v2/images", headers={"Content-Type": "junk"}, body=b'{"name": "n"}', captures={"c": "id"}),
    ),
    case(
        "undecodable unicode in the URL",
        get("/v2/images/%ff"),
        get("/v2/images?name=%ff"),
        get("/v2/images?%ff=x"),
        request("PUT", f"/v2/images/{NOBODY}/tags/%ff"),
        get("/v2/images/%F0%9F%98%80"),
        get("/v2/images?name=%F0%9F%98%80-{uniq}"),
    ),
)
