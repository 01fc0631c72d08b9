import pytest

from proxy.api.accept import preferred

KINDS = ("text/plain", "text/html", "application/json")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", None),
        ("image/png", None),
        ("*/*", "text/plain"),
        ("text/*", "text/plain"),
        ("application/json", "application/json"),
        ("text/html, application/json", "text/html"),
        ("text/html;q=0.5, application/json;q=0.9", "application/json"),
        ("*/*, text/plain;q=0", "text/html"),
        ("application/json;q=0", None),
        ("TEXT/HTML", "text/html"),
        (" text/html ,, application/json;q=0.1", "text/html"),
        ("application/json; charset=utf-8", None),
        ("application/json;q=0.5;level=1, text/html;q=0.4", "application/json"),
        ('text/html;title="a, b;q=0", application/json;q=0.1', "application/json"),
        ("text/*;level=1", "text/plain"),
        ("application/json;q=0, application/json", None),
    ],
)
def test_the_best_liked_form_is_sent_and_of_equals_the_first(accept: str, kind: str | None) -> None:
    assert preferred(accept, KINDS) == kind


@pytest.mark.parametrize("accept", ["junk", "text/html;q=junk", "text/html;q=1.5, application/json", "a/b/c", "/", '"'])
def test_a_header_that_is_none_counts_for_nothing(accept: str) -> None:
    assert preferred(accept, KINDS) == "text/plain"
