"""/v2/cache, and the older /v2/cached_images and /v2/queued_images, on an image that lies behind http."""

from dataclasses import replace

from tests.parity.model import (
    ACCEPT_JSON,
    NOBODY,
    Case,
    Persona,
    Step,
    Variant,
    add,
    case,
    create_raw,
    delete,
    get,
    patch,
    request,
)

_CLEAR = request("DELETE", "/v2/cache", by="admin")
_SEEN: frozenset[Variant] = frozenset({"locations"})  # where an image behind http is active at once
_WITH_LOCATION = (create_raw(), patch(add("/locations/-", {"url": "{origin}/blob", "metadata": {}})))
_ENTRY = "/v2/cache/{id}"
_OLD_CACHED, _OLD_QUEUED = "/v2/cached_images", "/v2/queued_images"
_ROUTES = (
    ("GET", "/v2/cache"),
    ("DELETE", "/v2/cache"),
    ("PUT", f"/v2/cache/{NOBODY}"),
    ("DELETE", f"/v2/cache/{NOBODY}"),
    ("POST", "/v2/cache/clean"),
    ("POST", "/v2/cache/prune"),
    ("GET", f"/v2/cache/nodes/{NOBODY}"),
    ("GET", _OLD_CACHED),
    ("DELETE", _OLD_CACHED),
    ("DELETE", f"{_OLD_CACHED}/{NOBODY}"),
    ("GET", _OLD_QUEUED),
    ("DELETE", _OLD_QUEUED),
    ("PUT", f"{_OLD_QUEUED}/{NOBODY}"),
    ("DELETE", f"{_OLD_QUEUED}/{NOBODY}"),
)
_PERSONAS: tuple[Persona, ...] = ("demo", "viewer", "alt", "anonymous")


def _queue(*, by: Persona = "admin") -> Step:
    return request("PUT", _ENTRY, by=by)


def _when_cached() -> Step:
    """Until the caches of both are done: the queue is empty then."""
    return replace(get("/v2/cache", by="admin"), until={"queued_images": []})


def _clear(target: str) -> Step:
    return request("DELETE", "/v2/cache", by="admin", headers={"x-image-cache-clear-target": target})


CASES: tuple[Case, ...] = (
    case("an empty cache", _CLEAR, get("/v2/cache", by="admin"), get("/v2/cache/", by="admin")),
    case(
        "an image is queued, cached and deleted from the cache",
        _CLEAR,
        *_WITH_LOCATION,
        _queue(),
        _when_cached(),
        _queue(),
        _when_cached(),
        request("DELETE", _ENTRY, by="admin"),
        get("/v2/cache", by="admin"),
        request("DELETE", _ENTRY, by="admin"),
        variants=_SEEN,
    ),
    case(
        "a cached image leaves the cache when it is deleted",
        _CLEAR,
        *_WITH_LOCATION,
        _queue(),
        _when_cached(),
        delete(),
        get("/v2/cache", by="admin"),
        _queue(),
        request("DELETE", _ENTRY, by="admin"),
        variants=_SEEN,
    ),
    case(
        "the cache is cleared by target",
        *_WITH_LOCATION,
        *map(_clear, ("cache", "queue", "", "CACHE", "both", "all", "cache,queue")),
        request("DELETE", "/v2/cache", by="admin", headers={"x-image-cache-clear-target": "both", **ACCEPT_JSON}),
        get("/v2/cache", by="admin"),
        _queue(),
        _when_cached(),
        _clear("queue"),
        get("/v2/cache", by="admin"),
        _clear("cache"),
        get("/v2/cache", by="admin"),
        variants=_SEEN,
    ),
    case("an image that is not active is not queued", create_raw(), _queue(), request("DELETE", _ENTRY, by="admin")),
    case(
        "images that are none in the cache",
        request("PUT", f"/v2/cache/{NOBODY}", by="admin"),
        request("DELETE", f"/v2/cache/{NOBODY}", by="admin"),
        request("DELETE", f"/v2/cache/{NOBODY}", by="demo"),
        request("PUT", "/v2/cache/junk", by="admin"),
        get(f"/v2/cache/nodes/{NOBODY}", by="admin"),
        request("PUT", f"/v2/cache/{NOBODY}", by="admin", headers=ACCEPT_JSON),
    ),
    case(
        "who may queue an image",
        *_WITH_LOCATION,
        *(_queue(by=persona) for persona in _PERSONAS),
        *(request("DELETE", _ENTRY, by=persona) for persona in _PERSONAS),
        *(get("/v2/cache/nodes/{id}", by=persona) for persona in _PERSONAS),
        variants=_SEEN,
    ),
    case(
        "nodes that have an image",
        _CLEAR,
        *_WITH_LOCATION,
        get("/v2/cache/nodes/{id}", by="admin"),
        _queue(),
        _when_cached(),
        get("/v2/cache/nodes/{id}", by="admin"),
        request("GET", "/v2/cache/nodes/{id}", by="admin", body=b"x"),
        variants=_SEEN,
    ),
    case(
        "clean and prune",
        request("POST", "/v2/cache/clean", by="admin"),
        request("POST", "/v2/cache/prune", by="admin"),
        request("POST", "/v2/cache/prune", by="admin", headers=ACCEPT_JSON),
        request("POST", "/v2/cache/clean", by="admin", json_body={}),
        request("POST", "/v2/cache/prune", by="admin", json_body={}),
        request("POST", "/v2/cache/prune", by="admin", body=b"x"),
    ),
    case(
        "bodies to the cache",
        request("GET", "/v2/cache", by="admin", body=b"x"),
        request("DELETE", "/v2/cache", by="admin", body=b"x"),
        request("DELETE", "/v2/cache", by="admin", json_body={}),
        request("PUT", f"/v2/cache/{NOBODY}", by="admin", json_body={}),
        request("PUT", f"/v2/cache/{NOBODY}", by="admin", body=b"x"),
        request("DELETE", f"/v2/cache/{NOBODY}", by="admin", json_body={}),
    ),
    *(
        case(
            f"the cache as {persona}",
            *(request(method, path, by=persona) for method, path in _ROUTES),
        )
        for persona in _PERSONAS
    ),
    case(
        "a site without a cache",
        *(request(method, path, by="admin") for method, path in _ROUTES),
        *(request(method, path, by="admin", headers=ACCEPT_JSON) for method, path in _ROUTES[:2]),
        *(request(method, path, by="demo") for method, path in _ROUTES),
        variants=frozenset({"nocache"}),
    ),
    *(
        case(f"wrong methods on {path}", *(request(method, path, by="admin") for method in methods))
        for path, methods in {
            "/v2/cache": ("HEAD", "POST", "PUT", "PATCH"),
            f"/v2/cache/{NOBODY}": ("GET", "HEAD", "POST", "PATCH"),
            "/v2/cache/clean": ("GET", "HEAD", "PUT", "PATCH", "DELETE"),
            "/v2/cache/prune": ("GET", "HEAD", "PUT", "PATCH", "DELETE"),
            f"/v2/cache/nodes/{NOBODY}": ("HEAD", "POST", "PUT", "PATCH", "DELETE"),
            "/v2/cache/nodes": ("GET", "POST", "DELETE"),
            _OLD_CACHED: ("HEAD", "POST", "PUT", "PATCH"),
            f"{_OLD_CACHED}/{NOBODY}": ("GET", "HEAD", "POST", "PUT", "PATCH"),
            _OLD_QUEUED: ("HEAD", "POST", "PUT", "PATCH"),
            f"{_OLD_QUEUED}/{NOBODY}": ("GET", "HEAD", "POST", "PATCH"),
        }.items()
    ),
    case(
        "the cache by its older paths",
        _CLEAR,
        get(_OLD_CACHED, by="admin"),
        get(_OLD_QUEUED, by="admin"),
        *_WITH_LOCATION,
        _queue(),
        _when_cached(),
        get(_OLD_CACHED, by="admin"),
        request("PUT", f"{_OLD_QUEUED}/{{id}}", by="admin"),
        request("DELETE", f"{_OLD_QUEUED}/{{id}}", by="admin"),
        get(_OLD_QUEUED, by="admin"),
        request("DELETE", f"{_OLD_CACHED}/{{id}}", by="admin"),
        request("DELETE", f"{_OLD_CACHED}/{{id}}", by="admin"),
        get(_OLD_CACHED, by="admin"),
        variants=_SEEN,
    ),
    case(
        "the whole cache is emptied by its older paths",
        _CLEAR,
        *_WITH_LOCATION,
        _queue(),
        _when_cached(),
        request("DELETE", _OLD_QUEUED, by="admin"),
        request("DELETE", _OLD_CACHED, by="admin"),
        request("DELETE", _OLD_CACHED, by="admin"),
        get("/v2/cache", by="admin"),
        variants=_SEEN,
    ),
    case(
        "other forms of the older paths",
        get(f"{_OLD_CACHED}/", by="admin"),
        request("DELETE", f"{_OLD_CACHED}/{NOBODY}", by="admin", headers=ACCEPT_JSON),
        request("GET", _OLD_CACHED, by="admin", json_body={}),
        request("DELETE", _OLD_QUEUED, by="admin", body=b"x"),
        get("/v2.14/cached_images", by="admin"),
    ),
)
