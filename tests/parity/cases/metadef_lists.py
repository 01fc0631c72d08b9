"""GET /v2/metadefs/namespaces, and of the tags and objects in one: order, pages and filters."""

from tests.parity.cases.metadef_steps import EVERYBODY, NAMESPACE, NAMESPACES, drop, make, send, show
from tests.parity.model import Case, Step, case, get

_THREE = (
    make(name="{uniq}-b", visibility="public", display_name="x", owner="{demo}"),
    make(
        name="{uniq}-a",
        visibility="private",
        owner="{alt}",
        resource_type_associations=[{"name": "OS::Nova::Server", "prefix": "hw:"}, {"name": "OS::Glance::Image"}],
    ),
    make(
        name="{uniq}-c",
        visibility="private",
        owner="{demo}",
        display_name="a",
        resource_type_associations=[{"name": "OS::Nova::Server"}],
    ),
)
_GONE = tuple(drop(name=f"{{uniq}}-{letter}") for letter in "abc")


def _list(query: str = "", by: str = "admin") -> Step:
    return get(f"{NAMESPACES}{query}", by=by)  # type: ignore[arg-type]


CASES: tuple[Case, ...] = (
    case("no namespaces", *(_list(by=who) for who in EVERYBODY)),
    case("who sees which namespaces", *_THREE, *(_list(by=who) for who in EVERYBODY), *_GONE),
    case(
        "namespaces in order",
        *_THREE,
        *(_list(f"?sort_key={key}&sort_dir=asc") for key in ("namespace", "created_at", "id")),
        *(_list(f"?sort_key={key}") for key in ("namespace", "visibility", "protected", "updated_at")),
        *(_list(f"?sort_dir={way}") for way in ("asc", "desc", "up", "")),
        _list("?sort_key=color"),
        _list("?sort_key="),
        *_GONE,
    ),
    case(
        "pages of namespaces",
        *_THREE,
        _list("?limit=2&sort_key=namespace&sort_dir=asc"),
        _list("?limit=2&sort_key=namespace&sort_dir=asc&marker={uniq}-b"),
        _list("?limit=2&marker={uniq}-b&sort_key=namespace"),
        _list("?limit=3"),
        _list("?limit=0"),
        _list("?limit=-1"),
        _list("?limit=1&limit=2"),
        _list("?limit=5000"),
        _list("?limit=two"),
        _list("?limit="),
        _list("?marker={uniq}-a", by="demo"),
        _list("?marker={uniq}-none"),
        _list("?marker="),
        _list("?marker={uniq}-c&sort_dir=asc"),
        *_GONE,
    ),
    case(
        "filters of namespaces",
        *_THREE,
        *(_list(f"?visibility={value}") for value in ("public", "private", "shared", "")),
        _list("?visibility=private", by="alt"),
        _list("?resource_types=OS::Nova::Server"),
        _list("?resource_types=OS::Nova::Server", by="demo"),
        _list("?resource_types=OS::Glance::Image,OS::No::Such"),
        _list("?resource_types=OS::No::Such"),
        _list("?resource_types="),
        _list("?resource_types=OS::Nova::Server&visibility=public"),
        _list("?resource_types=OS::Nova::Server&limit=1&sort_key=namespace"),
        _list("?color=blue"),
        _list("?namespace={uniq}-a"),
        *_GONE,
    ),
    case(
        "namespaces of one resource type more",
        make(),
        send("POST", "/resource_types", {"name": "OS::Cinder::Volume", "prefix": "v:"}),
        _list("?resource_types=OS::Cinder::Volume"),
        send("DELETE", "/resource_types/OS::Cinder::Volume"),
        _list("?resource_types=OS::Cinder::Volume"),
        drop(),
    ),
    case(
        "pages of tags",
        make(tags=[{"name": name} for name in ("b", "a", "c")]),
        show("/tags"),
        *(show(f"/tags?sort_key={key}&sort_dir=asc") for key in ("name", "created_at", "id", "color")),
        show("/tags?sort_key=name"),
        show("/tags?sort_dir=up"),
        *(show(f"/tags?limit={limit}&sort_key=name&sort_dir=asc") for limit in ("2", "0", "-1", "two", "")),
        show("/tags?marker=a&sort_key=name&sort_dir=asc"),
        show("/tags?marker=none"),
        show("/tags?marker="),
        *(show(f"/tags?visibility={value}") for value in ("shared", "secret")),
        show("/tags?color=blue"),
        drop(),
    ),
    case(
        "pages of objects",
        make(objects=[{"name": name} for name in ("b", "a", "c")]),
        show("/objects"),
        *(show(f"/objects?limit={limit}") for limit in ("2", "0", "-1", "two", "")),
        show("/objects?marker=a"),
        show("/objects?sort_key=color"),
        show("/objects?sort_dir=asc"),
        show("/objects?sort_dir=up"),
        *(show(f"/objects?visibility={value}") for value in ("shared", "secret")),
        drop(),
    ),
    case(
        "show with other parameters",
        make(visibility="public", properties={"p": {"title": "t", "type": "string"}}),
        show("?visibility=secret"),
        show("?color=blue"),
        show("?resource_type=x&color=blue"),
        show("/properties/p?color=blue"),
        get(f"{NAMESPACE}/properties?color=blue", by="demo"),
        drop(),
    ),
)
