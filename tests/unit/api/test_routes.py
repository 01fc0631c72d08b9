import pytest

from proxy.api import images, tags
from proxy.api.negotiation import VERSIONS, api_path, resolved, version_list
from proxy.api.routes import ROUTES, RouteTable
from proxy.errors import MethodNotAllowed, MethodUnknown, NoSuchResource

TABLE = RouteTable()


def test_a_path_names_its_handler_and_parameters() -> None:
    route, parameters = TABLE.find("PUT", "/v2/images/i/tags/a b")
    assert (route.handler, dict(parameters)) == (tags.add, {"image_id": "i", "tag": "a b"})
    route, parameters = TABLE.find("GET", "/v2/images")
    assert (route.handler, dict(parameters)) == (images.index, {})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("HEAD", "/v2/images/i/file", ("GET", "PUT")),
        ("HEAD", "/v2/images", ("GET", "POST")),
        ("PUT", "/v2/images/i", ("GET", "PATCH", "DELETE")),
        ("BREW", "/v2/images/i/tags/t", ("PUT", "DELETE")),
        ("POST", "/v2/schemas/image", ("GET",)),
        ("PUT", "/v2/images/i/locations", ("POST",)),
    ],
)
def test_a_known_path_says_which_methods_it_has(method: str, path: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        TABLE.find(method, path)
    assert caught.value.allowed == allowed


@pytest.mark.parametrize("path", ["/v2/", "/v2/image", "/v2/images/", "/v2/images/i/file/", "/v2/images/a/b/file"])
def test_an_unknown_path_is_not_found_and_an_odd_method_there_not_implemented(path: str) -> None:
    with pytest.raises(NoSuchResource):
        TABLE.find("GET", path)
    with pytest.raises(MethodUnknown):
        TABLE.find("BREW", path)


def test_no_row_stands_twice() -> None:
    rows = [(route.method, route.path) for route in ROUTES]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize(
    ("path", "accept", "meant"),
    [
        ("/", "", "/"),
        ("/versions", "", "/versions"),
        ("/versions/", "", "/versions"),
        ("/healthcheck/x", "", "/healthcheck"),
        ("/v2", "", "/v2"),
        ("/v2/", "", "/v2/"),
        ("/v2.9/images", "", "/v2/images"),
        ("//v2/images/i", "", "/v2/images/i"),
        ("/v2//images", "", "/v2/images"),
        ("/v2//", "", "/v2/"),
        ("/v2/images//i///", "", "/v2/images/i/"),
        ("/v2.19/images", "", "/"),
        ("/V2/images", "", "/"),
        ("/images", "", "/"),
        ("/images", "application/vnd.openstack.images-v2.9", "/v2/images"),
        ("//images", "application/vnd.openstack.images-v2.9", "/v2/images"),
        ("/v2/images", "application/vnd.openstack.images-v9", "/"),
        ("/v2/images", "application/vnd.openstack.images-v2", "/v2/v2/images"),
    ],
)
def test_the_version_is_found_in_the_path_or_in_accept(path: str, accept: str, meant: str) -> None:
    assert api_path(path, accept) == meant


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v2/images/i", "/v2/images/i"),
        ("//v2///images/./i", "/v2/images/i"),
        ("/v2/./images/x/../i", "/v2/images/i"),
        ("/v2/images/i/", "/v2/images/i/"),
        ("/v2/images/i/..", "/v2/images/"),
        ("/../../v2/.", "/v2/"),
        ("/v2/images/%2E%2E/a%2F%2Fb", "/v2/images/%2E%2E/a%2F%2Fb"),
        ("/v2/images/.hidden/..a", "/v2/images/.hidden/..a"),
        ("*", "*"),
    ],
)
def test_the_dots_of_a_path_are_resolved_before_anything_is_decoded(path: str, meant: str) -> None:
    assert resolved(path) == meant


def test_the_newest_version_is_current_and_every_version_is_accepted() -> None:
    versions = version_list("https://glint.example/")["versions"]
    assert [one["id"] for one in versions if one["status"] == "CURRENT"] == ["v2.18"]
    assert versions[0]["links"] == [{"rel": "self", "href": "https://glint.example/v2/"}]
    assert all(api_path(f"/v{version}/images", "") == "/v2/images" for version in VERSIONS)


def test_without_a_cache_the_versions_that_have_one_are_neither_listed_nor_accepted() -> None:
    versions = version_list("https://glint.example/", with_cache=False)["versions"]
    assert [one["id"] for one in versions if one["status"] == "CURRENT"] == ["v2.17"]
    assert {"v2.14", "v2.16", "v2.18"}.isdisjoint(one["id"] for one in versions)
    assert api_path("/v2.18/images", "", with_cache=False) == "/"
    assert api_path("/v2.17/images", "", with_cache=False) == "/v2/images"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH"])
def test_a_path_that_no_header_allow_names_is_none_for_other_methods(method: str) -> None:
    with pytest.raises(NoSuchResource):
        TABLE.find(method, "/v2/cached_images")
    with pytest.raises(MethodUnknown):
        TABLE.find("BREW", "/v2/cached_images")
