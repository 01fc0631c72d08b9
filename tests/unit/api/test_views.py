from dataclasses import replace
from datetime import UTC, datetime

import pytest

from proxy.api import views
from upstream.types import Image, Location, Status

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
IMAGE = Image(id="i", created_at=NOW, updated_at=NOW, name="n", properties={"color": "red", "empty": None}, tags=("t",))
FIRST = Location(url="http://one", metadata={"store": "web"}, id=1)
SECOND = Location(url="file:///two", metadata={"store": "local"}, id=2)


def test_an_image_is_shown_key_for_key_as_glance_shows_it() -> None:
    view = views.image_view(IMAGE)
    assert list(view) == [
        "color",
        "empty",
        "name",
        "disk_format",
        "container_format",
        "visibility",
        "size",
        "virtual_size",
        "status",
        "checksum",
        "protected",
        "min_ram",
        "min_disk",
        "owner",
        "os_hidden",
        "os_hash_algo",
        "os_hash_value",
        "id",
        "created_at",
        "updated_at",
        "tags",
        "self",
        "file",
        "schema",
    ]
    assert view["empty"] == ""
    assert view["created_at"] == "2026-01-02T03:04:05Z"
    assert view["file"] == "/v2/images/i/file"


def test_what_workers_note_for_each_other_is_hidden() -> None:
    noted = replace(IMAGE, properties={"os_glance_stage_host": "x", "os_glance_failed_import": "web"})
    view = views.image_view(noted)
    assert "os_glance_stage_host" not in view
    assert view["os_glance_failed_import"] == "web"


def test_stores_are_named_only_when_there_are_locations() -> None:
    assert "stores" not in views.image_view(IMAGE)
    assert views.image_view(replace(IMAGE, locations=(FIRST, SECOND)))["stores"] == "web,local"


def test_locations_are_shown_without_their_row_when_asked_for() -> None:
    view = views.image_view(replace(IMAGE, locations=(FIRST,)), show_locations=True)
    assert view["locations"] == [{"url": "http://one", "metadata": {"store": "web"}}]
    assert views.image_view(IMAGE, show_locations=True)["locations"] == []


@pytest.mark.parametrize(("weights", "url"), [((0, 0), "http://one"), ((0, 1), "file:///two"), ((1, 0), "http://one")])
def test_the_direct_url_is_the_one_of_the_heaviest_store(weights: tuple[int, int], url: str) -> None:
    image = replace(IMAGE, status=Status.ACTIVE, locations=(FIRST, SECOND))
    rank = dict(zip(("http://one", "file:///two"), weights, strict=True))
    view = views.image_view(image, show_direct_url=True, rank=lambda location: rank[location.url])
    assert view["direct_url"] == url
    assert "direct_url" not in views.image_view(IMAGE, show_direct_url=True)


def test_links_of_a_list_keep_every_parameter_but_the_marker() -> None:
    page = views.list_view([], [("tag", "a b"), ("tag", "c"), ("marker", "old"), ("limit", "1")], next_marker="new")
    assert page["first"] == "/v2/images?tag=a+b&tag=c&limit=1"
    assert page["next"] == "/v2/images?tag=a+b&tag=c&limit=1&marker=new"


def test_links_of_a_list_say_what_was_looked_for() -> None:
    """Of a filter that is repeated the last counts; all tags and sort keys do, though Glance's links lose them."""
    asked = [("name", "a"), ("sort_key", "name"), ("tag", "x"), ("sort_key", "size"), ("name", "b"), ("tag", "y")]
    page = views.list_view([], asked, next_marker=None)
    assert page["first"] == "/v2/images?name=b&sort_key=name&sort_key=size&tag=x&tag=y"


def test_the_last_page_has_no_next() -> None:
    page = views.list_view([], [], next_marker=None)
    assert page == {"images": [], "first": "/v2/images", "schema": "/v2/schemas/images"}
