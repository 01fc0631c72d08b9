"""What passes a gateway, case by case."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.api.forwarding import Entrance
from proxy.edge.headers import led_back, to_client, to_glance
from proxy.errors import BadRequest

ENTRANCE = Entrance(scheme="https", host="glint.example.org")
GLANCE = "http://glance:9292"


def sent(*headers: tuple[str, str], believes: bool = False, keeps_host: bool = True) -> CIMultiDict[str]:
    given = CIMultiDictProxy(CIMultiDict(headers))
    return to_glance(given, ENTRANCE, "192.0.2.7", believes=believes, keeps_host=keeps_host)


@pytest.mark.parametrize(
    "name",
    [
        "X-Identity-Status",
        "X-Service-Identity-Status",
        "X-Roles",
        "X-Role",
        "X-Service-Roles",
        "X-User",
        "X-User-Id",
        "X-User-Domain-Name",
        "X-Tenant",
        "X-Tenant-Name",
        "X-Project-Domain-Id",
        "X-Domain-Id",
        "X-Service-Project-Id",
        "X-Service-User-Name",
        "X-Service-Catalog",
        "X-Is-Admin-Project",
        "OpenStack-System-Scope",
        "x_roles",
        "X_Auth_Token",
    ],
)
def test_what_keystonemiddleware_says_nobody_else_says(name: str) -> None:
    assert name not in sent((name, "x"))


@pytest.mark.parametrize(
    "name", ["X-Auth-Token", "X-Service-Token", "X-Openstack-Image-Size", "X-Image-Meta-Store", "X-Request-Id"]
)
def test_what_a_client_may_say_passes(name: str) -> None:
    assert sent((name, "x"))[name] == "x"


def test_the_host_is_the_clients_unless_glance_is_found_by_its_own() -> None:
    assert sent(("Host", "glint.example.org"))["Host"] == "glint.example.org"
    without = sent(("Host", "glint.example.org"), keeps_host=False)
    assert "Host" not in without
    assert without["X-Forwarded-Host"] == "glint.example.org"


def test_a_name_in_connection_cannot_take_away_what_we_say() -> None:
    headers = sent(("Connection", "x-forwarded-for, via, host, x-a"), ("X-A", "1"), ("Host", "h"))
    assert "X-A" not in headers
    assert (headers["X-Forwarded-For"], headers["Via"], headers["Host"]) == ("192.0.2.7", "1.1 glint", "h")


def test_each_hop_is_named_behind_the_others() -> None:
    assert sent(("Via", "1.0 a"), ("Via", "1.1 b"))["Via"] == "1.0 a, 1.1 b, 1.1 glint"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BadRequest, match="X-Name"):
        sent(("X-Name", b"\xff".decode("utf-8", "surrogateescape")))


@pytest.mark.parametrize(
    ("location", "back"),
    [
        ("http://glance:9292/v2/images/1", "https://glint.example.org/v2/images/1"),
        ("http://glint.example.org/v2/images/1?a=b", "https://glint.example.org/v2/images/1?a=b"),
        ("http://glint.example.org/v2/x?#%", "https://glint.example.org/v2/x?#%"),
        ("/v2/images/1", "/v2/images/1"),
        ("http://glance:92921/v2", "http://glance:92921/v2"),
        ("https://elsewhere/x", "https://elsewhere/x"),
    ],
)
def test_a_location_of_glances_leads_back_to_where_the_client_came_in(location: str, back: str) -> None:
    assert led_back(location, ENTRANCE, GLANCE) == back


def test_what_glance_says_twice_comes_back_twice_and_its_hops_do_not() -> None:
    given = CIMultiDict([("Vary", "a"), ("Vary", "b"), ("Connection", "close, x-b"), ("X-B", "1"), ("Upgrade", "h2c")])
    assert list(to_client(CIMultiDictProxy(given), ENTRANCE, GLANCE).items()) == [("Vary", "a"), ("Vary", "b")]
