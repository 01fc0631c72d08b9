"""GET /v2/images. Every list is narrowed to the case's own images by the property `lot`."""

from urllib.parse import quote

from tests.parity.model import ACCEPT_JSON, NOBODY, Case, Persona, Step, case, create, create_raw, get, upload

_LOT = "lot={uniq}"
_BY_NAME = f"{_LOT}&sort=name:asc"


def _list(query: str, by: Persona = "demo") -> Step:
    return get(f"/v2/images?{_BY_NAME}&{query}" if query else f"/v2/images?{_BY_NAME}", by=by)


def _bare(query: str) -> Step:
    return get(f"/v2/images?{_LOT}&{query}")


_THREE = (
    create(
        as_="a", name="{uniq}-a", lot="{uniq}", disk_format="raw", container_format="bare", min_disk=3, tags=["x", "y"]
    ),
    create(
        as_="b", name="{uniq}-b", lot="{uniq}", disk_format="qcow2", container_format="bare", min_disk=2, tags=["x"]
    ),
    create(
        as_="c", name="{uniq}-c", lot="{uniq}", disk_format="iso", container_format="ovf", min_disk=2, protected=True
    ),
)
_SIZED = (
    create_raw(as_="a", name="{uniq}-a", lot="{uniq}"),
    create_raw(as_="b", name="{uniq}-b", lot="{uniq}"),
    create_raw(as_="c", name="{uniq}-c", lot="{uniq}"),
    upload(b"x" * 10, of="a"),
    upload(b"x" * 20, of="b"),
)
_FOREVER = "2000-01-01T00:00:00Z"
_NEVER = "2100-01-01T00:00:00Z"
_BAD_SORTS = (
    "sort=junk",
    "sort=name:sideways",
    "sort=name:",
    "sort=:asc",
    "sort=",
    "sort=name,name",
    "sort=name&sort_key=size",
    "sort=name&sort_dir=asc",
    "sort_key=junk",
    "sort_key=",
    "sort_dir=sideways",
    "sort_key=name&sort_dir=asc&sort_dir=desc",
    "sort_key=name&sort_key=size&sort_dir=asc&sort_dir=desc&sort_dir=asc",
    "sort_key=min_disk",
    "sort_key=visibility",
    "sort_key=owner",
    "sort=virtual_size",
)
_BAD_PAGES = (
    "limit=-1",
    "limit=abc",
    "limit=",
    "limit=1.5",
    "limit=%201",
    f"marker={NOBODY}",
    "marker=abc",
    "marker=",
)
_BAD_FILTERS = (
    "visibility=everyone",
    "visibility=",
    "member_status=junk",
    "protected=True",
    "protected=1",
    "os_hidden=junk",
    "os_hidden=1",
    "os_hidden=True",
    "status=junk",
    "size_min=abc",
    "size_max=-1",
    "size_min=",
    "created_at=junk",
    "created_at=gt:junk",
    "created_at=like:2000-01-01T00:00:00Z",
    "created_at=gt:2000-01-01",
    "updated_at=lt:",
    "changes-since=2000-01-01T00:00:00Z",
    "owner=nobody",
    "checksum=abc",
    "min_disk=abc",
    "tag=none",
    "tag=",
    "deleted=true",
    "is_public=true",
    "name=in:",
    'name=in:"',
    'name=in:"a"b',
    "name=in:a,,b",
    "id=in:abc",
    "os_glance_x=y",
    "fields=name",
    "junk",
)

CASES: tuple[Case, ...] = (
    case("an empty list", _list("")),
    case("three images", *_THREE, _list(""), _list("", "viewer"), _list("", "admin"), _list("", "alt")),
    case(
        "filters by equality",
        *_THREE,
        *(
            _list(query)
            for query in (
                "name={uniq}-b",
                "id={b}",
                "status=queued",
                "status=active",
                "disk_format=iso",
                "container_format=bare",
                "min_disk=2",
                "min_disk=2&disk_format=iso",
                "min_ram=0",
                "protected=true",
                "protected=false",
                "tag=x",
                "tag=x&tag=y",
                "owner={demo}",
                "owner={alt}",
                "visibility=shared",
                "visibility=private",
                "visibility=all",
                "os_hidden=false",
                "os_hidden=true",
                "none=such",
                "name={uniq}-a&name={uniq}-b",
                "checksum=",
                "size=0",
            )
        ),
    ),
    case(
        "filters with in:",
        *_THREE,
        *(
            _list(query)
            for query in (
                "name=in:{uniq}-a,{uniq}-c",
                'name=in:"{uniq}-a","{uniq}-b"',
                "id=in:{a},{b}",
                "status=in:queued,active",
                "status=in:active,saving",
                "disk_format=in:raw,iso",
                "container_format=in:ovf,bare",
                "lot2=in:a,b",
                "min_disk=in:2,3",
            )
        ),
    ),
    case(
        "filters by size",
        *_SIZED,
        *(
            _list(query)
            for query in (
                "size_min=11",
                "size_max=10",
                "size_min=10&size_max=20",
                "size=10",
                "size_min=0",
                "status=active",
                "virtual_size_min=1",
            )
        ),
    ),
    case(
        "filters by time",
        create(lot="{uniq}"),
        *(
            _list(f"{field}={op}{quote(moment)}")
            for field in ("created_at", "updated_at")
            for op, moment in (
                ("gt:", _FOREVER),
                ("gte:", _FOREVER),
                ("lt:", _FOREVER),
                ("lte:", _NEVER),
                ("eq:", _FOREVER),
                ("neq:", _FOREVER),
                ("", _FOREVER),
                ("gt:", _NEVER),
                ("gt:", "2000-01-01T00:00:00+02:00"),
                ("gt:", "2000-01-01T00:00:00"),
            )
        ),
    ),
    case(
        "sorting in the new syntax",
        *_THREE,
        *(
            _bare(f"sort={sort}")
            for sort in (
                "name",
                "name:asc",
                "name:desc",
                "min_disk:asc,name:desc",
                "disk_format:asc",
                "container_format,name",
                "status:asc,name:asc",
                "name:ASC",
            )
        ),
    ),
    case(
        "sorting in the old syntax",
        *_THREE,
        *(
            _bare(query)
            for query in (
                "sort_key=name",
                "sort_key=name&sort_dir=asc",
                "sort_key=container_format&sort_key=name&sort_dir=asc",
                "sort_key=container_format&sort_key=name&sort_dir=asc&sort_dir=desc",
                "sort_key=disk_format&sort_dir=desc",
                "sort_dir=asc&name={uniq}-a",
            )
        ),
    ),
    case("sorting by size", *_SIZED, _bare("sort=size:asc,name:asc"), _bare("sort=size:desc,name:asc")),
    case("bad sorts", *map(_bare, _BAD_SORTS), get("/v2/images?sort=junk", headers=ACCEPT_JSON)),
    case(
        "pages",
        *_THREE,
        *(
            _list(query)
            for query in (
                "limit=2",
                "limit=2&marker={b}",
                "limit=1&marker={a}",
                "limit=3",
                "limit=4",
                "limit=0",
                "limit=100000",
                "marker={c}",
                "limit=2&limit=1",
                "limit=2&tag=x",
                "limit=1&tag=x&tag=y&status=in:queued,active",
                "limit=1&name=in:{uniq}-a,{uniq}-b",
            )
        ),
        _bare("limit=2&sort_key=name&sort_dir=asc&sort_key=size"),
        get("/v2.9/images?limit=1&lot={uniq}&sort=name:asc"),
        get("/v2/images?limit=1&sort=name:desc,id:asc&lot={uniq}"),
        get("/v2/images?limit=1&sort=name:desc&lot={uniq}&odd=%26%3D%20%2B"),
        get("/v2/images?lot={uniq}&odd=%26%3D%20%2B+%C3%A9"),
    ),
    case(
        "pages over images without a size",
        *_SIZED,
        _bare("sort=size:asc,name:asc&limit=1"),
        _bare("sort=size:asc,name:asc&limit=1&marker={c}"),
        _bare("sort=size:desc,name:asc&limit=1&marker={a}"),
    ),
    case(
        "bad pages",
        *map(_bare, _BAD_PAGES),
        get("/v2/images?limit=abc", headers=ACCEPT_JSON),
        get("/v2/images?marker=abc", headers=ACCEPT_JSON),
    ),
    case("a marker that one may not see", create(by="alt", visibility="private"), _bare("marker={id}")),
    case("a marker outside the filter", create(lot="{uniq}"), create(as_="b", name="zzz"), _list("marker={b}")),
    case("bad filters", *map(_bare, _BAD_FILTERS), get("/v2/images?visibility=everyone", headers=ACCEPT_JSON)),
    case(
        "hidden images",
        create(lot="{uniq}", os_hidden=True),
        _list(""),
        _list("os_hidden=true"),
        _list("os_hidden=false"),
    ),
    case(
        "null values are not equal to anything",
        create(lot="{uniq}", name=None),
        _list("name="),
        _list("disk_format="),
        _list("name=None"),
    ),
)
