import pytest

from proxy.api.cors import CorsConfig, response_headers

PAGE = "https://horizon.example.com"
OPEN = CorsConfig(allowed_origin=(PAGE,))
ASKS = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}


def test_without_an_origin_nothing_is_said_to_anybody() -> None:
    assert response_headers(CorsConfig(), "GET", {"Origin": PAGE}) == {}
    assert response_headers(CorsConfig(), "OPTIONS", ASKS) == {}
    assert response_headers(OPEN, "GET", {}) == {}


def test_an_allowed_page_is_told_what_it_may_read() -> None:
    said = response_headers(OPEN, "GET", {"Origin": PAGE})
    assert said["Access-Control-Allow-Origin"] == PAGE
    assert said["Access-Control-Allow-Credentials"] == "true"
    assert said["Vary"] == "Origin"
    assert "X-OpenStack-Request-ID" in said["Access-Control-Expose-Headers"].split(",")


@pytest.mark.parametrize("origin", ["https://evil.example.com", f"{PAGE}/", PAGE.upper(), "null", ""])
def test_another_page_is_told_nothing(origin: str) -> None:
    assert response_headers(OPEN, "GET", {"Origin": origin}) == {}


def test_a_star_allows_every_page_and_is_said_as_a_star() -> None:
    config = CorsConfig(allowed_origin=("*",), allow_credentials=False, expose_headers=())
    assert response_headers(config, "GET", {"Origin": "https://any.example.com"}) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": "*",
    }


def test_a_preflight_is_told_what_it_asked_for() -> None:
    said = response_headers(OPEN, "OPTIONS", ASKS | {"Access-Control-Request-Headers": "x-auth-token, Content-Type"})
    assert said == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "PUT",
        "Access-Control-Max-Age": "3600",
        "Access-Control-Allow-Headers": "x-auth-token,Content-Type",
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"Access-Control-Request-Method": "HEAD"},
        {"Access-Control-Request-Method": "put"},
        {"Access-Control-Request-Headers": "X-Auth-Token, X-Other"},
    ],
)
def test_a_preflight_for_what_is_not_allowed_is_told_nothing(asked: dict[str, str]) -> None:
    assert response_headers(OPEN, "OPTIONS", ASKS | asked) == {}
