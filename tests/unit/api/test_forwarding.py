import pytest
from multidict import CIMultiDict

from proxy.api.forwarding import Entrance, check_host, forwarded
from proxy.errors import BadRequest

DIRECT = Entrance(scheme="http", host="10.0.0.1:9292", client="10.0.0.2")


@pytest.mark.parametrize(
    ("headers", "url", "client"),
    [
        ({}, "http://10.0.0.1:9292", "10.0.0.2"),
        ({"X-Forwarded-Proto": "https"}, "https://10.0.0.1:9292", "10.0.0.2"),
        ({"X-Forwarded-Host": "a.example.org:80", "X-Forwarded-For": "192.0.2.1"}, "http://a.example.org", "192.0.2.1"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a:443"}, "https://a", "10.0.0.2"),
        ({"X-Forwarded-Prefix": "/image"}, "http://10.0.0.1:9292/image", "10.0.0.2"),
        ({"Forwarded": "for=192.0.2.60;proto=https;host=a"}, "https://a", "192.0.2.60"),
        ({"Forwarded": "Host=a ; proto=https, host=b"}, "https://a", "10.0.0.2"),
        ({"Forwarded": 'host="a:8443";for="[2001:db8::1]"'}, "http://a:8443", "[2001:db8::1]"),
        ({"Forwarded": "host=a", "X-Forwarded-Proto": "https"}, "http://a", "10.0.0.2"),
        ({"Forwarded": "nonsense", "X-Forwarded-Host": "b"}, "http://10.0.0.1:9292", "10.0.0.2"),
    ],
)
def test_a_proxy_says_how_the_client_reached_it(headers: dict[str, str], url: str, client: str) -> None:
    found = forwarded(DIRECT, CIMultiDict(headers))
    assert (found.url, found.client) == (url, client)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "a/b"},
        {"X-Forwarded-Host": "a b"},
        {"X-Forwarded-Proto": "java script"},
        {"X-Forwarded-Prefix": "/\xe9"},
        {"Forwarded": 'host="a/b"'},
    ],
)
def test_what_cannot_stand_in_a_url_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        forwarded(DIRECT, CIMultiDict(headers))


def test_a_host_that_is_none_is_refused() -> None:
    check_host("a.example.org:9292")
    check_host("[::1]:9292")
    with pytest.raises(BadRequest):
        check_host("a/b")
