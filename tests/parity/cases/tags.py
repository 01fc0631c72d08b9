"""PUT and DELETE /v2/images/{id}/tags/{tag}."""

from tests.parity.model import ACCEPT_JSON, NOBODY, Case, Persona, Step, case, create, request, show


def _tag(method: str, value: str, by: Persona = "demo") -> Step:
    return request(method, f"/v2/images/{{id}}/tags/{value}", by=by)


CASES: tuple[Case, ...] = (
    case(
        "add and remove a tag",
        create(tags=["a"]),
        _tag("PUT", "b"),
        show(),
        _tag("DELETE", "a"),
        show(),
        _tag("DELETE", "a"),
    ),
    case("add a tag twice", create(), _tag("PUT", "a"), _tag("PUT", "a"), show()),
    case(
        "tags with odd characters",
        create(),
        *(_tag("PUT", t) for t in ("a%20b", "%C3%A9", "a%2Fb", "a.b", "%2B", "a+b", "A")),
        show(),
    ),
    case("tags of 255 and 256", create(), _tag("PUT", "t" * 255), _tag("PUT", "t" * 256), show()),
    case("an empty tag", create(), _tag("PUT", ""), _tag("DELETE", "")),
    case(
        "a tag of an image that is not there",
        request("PUT", f"/v2/images/{NOBODY}/tags/t"),
        request("DELETE", f"/v2/images/{NOBODY}/tags/t"),
    ),
    case(
        "a tag that is not there",
        create(),
        _tag("DELETE", "none"),
        request("DELETE", "/v2/images/{id}/tags/none", headers=ACCEPT_JSON),
        _tag("DELETE", "n" * 256),
    ),
    case("tags up to the quota", create(tags=[f"t{n}" for n in range(128)]), _tag("PUT", "t5"), _tag("PUT", "more")),
    case(
        "who may tag",
        create(visibility="community"),
        _tag("PUT", "v", "viewer"),
        _tag("PUT", "l", "alt"),
        _tag("PUT", "m", "admin"),
    ),
    case(
        "who may tag what they cannot see",
        create(),
        _tag("PUT", "t", "alt"),
        _tag("DELETE", "t", "alt"),
        _tag("PUT", "t", "anonymous"),
    ),
    case("a tag on a protected image", create(protected=True), _tag("PUT", "t"), show()),
)
