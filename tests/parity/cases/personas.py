"""Every kind of caller at every handler: roles, scopes of tokens, and the rule that hides what cannot be seen."""

from tests.parity.model import (
    NOBODY,
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
    request,
    show,
    upload,
)

_OUTSIDERS: tuple[Persona, ...] = ("alt", "service", "system", "domain", "unscoped", "anonymous", "stranger")
_POWERLESS: tuple[Persona, ...] = ("viewer", *_OUTSIDERS)
_ALL: tuple[Persona, ...] = (*_POWERLESS, "demo", "nova", "admin")
_SCOPED: tuple[Persona, ...] = ("viewer", "service", "system", "domain", "unscoped", "anonymous")
_ENDING: tuple[Persona, ...] = (*_POWERLESS, "demo", "admin")
_NAMESPACE = "/v2/metadefs/namespaces/{uniq}"


def _listed(by: Persona, query: str = "") -> Step:
    return get(f"/v2/images?lot={{uniq}}{query}", by=by)


def _on_image(visibility: str, by: Persona = "demo") -> tuple[Case, ...]:
    """What each may do with an image that has data: only looking, changing, and what takes it away."""
    made = (create_raw(by=by, visibility=visibility, lot="{uniq}", owner="{demo}"), upload(by=by))
    return (
        case(
            f"who may look at a {visibility} image",
            *made,
            *(show(by=who) for who in _ALL),
            *(_listed(who) for who in _ALL),
            *(_listed(who, "&visibility=all") for who in _OUTSIDERS[:-1]),
            *(download(by=who) for who in _ALL),
            *(get("/v2/images/{id}/file?prefer=file", by=who) for who in _OUTSIDERS[:-1]),
            *(get("/v2/images/{id}/locations", by=who) for who in _ALL[:-3]),
        ),
        case(
            f"who may change a {visibility} image",
            *made,
            *(patch(put("/name", f"by {who}"), by=who) for who in _ALL),
            *(patch(add("/visibility", "public"), by=who) for who in _ALL[:-2]),
            *(patch(put("/visibility", "community"), by=who) for who in _POWERLESS),
            *(patch(put("/owner", "{alt}"), by=who) for who in _ALL[:-2]),
            *(patch(by=who) for who in _ALL),
            *(request("PUT", f"/v2/images/{{id}}/tags/{who}", by=who) for who in _ALL),
            *(request("DELETE", "/v2/images/{id}/tags/demo", by=who) for who in _ALL),
            *(upload(by=who) for who in _ALL),
            *(delete(by=who) for who in _ALL),
        ),
    )


CASES: tuple[Case, ...] = (
    case(
        "who may create",
        *(create_raw(by=who, as_=f"{who}_own") for who in _ALL),
        *(create_raw(by=who, as_=f"{who}_of_demo", owner="{demo}") for who in _ALL),
        *(create_raw(by=who, as_=f"{who}_public", visibility="public") for who in _ALL),
        *(create_raw(by=who, as_=f"{who}_community", visibility="community") for who in _ALL),
    ),
    case(
        "who may give an image away",
        create_raw(visibility="community"),
        *(patch(add("/owner", "{alt}"), by=who) for who in _POWERLESS),
        patch(add("/owner", "{alt}")),
        patch(put("/owner", "{demo}"), by="admin"),
        patch({"op": "remove", "path": "/owner"}, by="alt"),
        show(by="admin"),
    ),
    case("who may fill", create_raw(visibility="community"), *(upload(by=who) for who in _ALL)),
    case(
        "who may name a location",
        create_raw(visibility="community"),
        create_raw(visibility="community", as_="other"),  # when the first is free again is a matter of Glance's timing
        *(
            request("POST", f"/v2/images/{{{image}}}/locations", by=who, json_body={"url": url})
            for image, url in (("id", "file:///nowhere"), ("other", "ftp://127.0.0.1/x"))
            for who in _POWERLESS
        ),
    ),
    *_on_image("community"),
    *_on_image("private"),
    *_on_image("public", "admin"),
    case(
        "who may ask what there is",
        *(
            get(path, by=who)
            for path in ("/v2/info/import", "/v2/info/stores", "/v2/schemas/member", "/v2/")
            for who in _SCOPED
        ),
    ),
    case(
        "who may use the cache",
        create_raw(visibility="community"),
        *(get("/v2/cache", by=who) for who in _POWERLESS),
        *(request("PUT", "/v2/cache/{id}", by=who) for who in _ALL),
        *(request("DELETE", "/v2/cache/{id}", by=who) for who in _POWERLESS),
        *(request("DELETE", f"/v2/cache/{NOBODY}", by=who) for who in _POWERLESS),
        *(request("DELETE", "/v2/cache", by=who) for who in _POWERLESS),
        *(request("POST", "/v2/cache/clean", by=who) for who in _POWERLESS),
        *(request("POST", "/v2/cache/prune", by=who) for who in _POWERLESS),
        *(get("/v2/cache/nodes/{id}", by=who) for who in _POWERLESS),
        *(get(f"/v2/{name}_images", by=who) for name in ("cached", "queued") for who in _POWERLESS),
        *(request("PUT", "/v2/queued_images/{id}", by=who) for who in _POWERLESS),
    ),
    *(
        case(
            f"who may use a {visibility} namespace",
            request(
                "POST",
                "/v2/metadefs/namespaces",
                by="admin",
                json_body={"namespace": "{uniq}", "visibility": visibility, "owner": "{demo}"},
            ),
            *(get(_NAMESPACE, by=who) for who in _POWERLESS),
            *(
                get(f"{_NAMESPACE}/{kind}", by=who)
                for kind in ("objects", "properties", "tags", "resource_types")
                for who in _OUTSIDERS[:-1]
            ),
            *(request("POST", f"{_NAMESPACE}/tags/t", by=who) for who in _POWERLESS),
            *(request("POST", f"{_NAMESPACE}/objects", by=who, json_body={"name": "o"}) for who in _POWERLESS),
            *(
                request("POST", "/v2/metadefs/namespaces", by=who, json_body={"namespace": "{uniq} 2"})
                for who in _POWERLESS
            ),
            *(
                request("PUT", _NAMESPACE, by=who, json_body={"namespace": "{uniq}", "owner": "{demo}"})
                for who in _POWERLESS
            ),
            *(request("DELETE", _NAMESPACE, by=who) for who in _ENDING),
        )
        for visibility in ("public", "private")
    ),
)
