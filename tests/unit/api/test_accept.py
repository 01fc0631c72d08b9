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
        ("text/html;q=junk, application/json;q=0.1", "application/json"),
        ("TEXT/HTML", "text/html"),
    ],
)
def test_the_best_liked_form_is_sent_and_of_equals_the_first(accept: str, kind: str | None) -> None:
    assert preferred(accept, KINDS) == kind
