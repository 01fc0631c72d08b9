import inspect
from http import HTTPStatus

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

import cache
from proxy import errors
from proxy.errors import STATUS, status_of
from proxy.middleware.errors import error_response
from upstream import errors as upstream

# Bases that no one raises: what is raised has a row or a base with a row.
MEANT_FOR_ALL_BELOW = {cache.CacheError}
NEVER_RAISED = {errors.RequestError, upstream.UpstreamError}


def exceptions_of(module: object) -> set[type[Exception]]:
    return {one for _, one in inspect.getmembers(module, inspect.isclass) if issubclass(one, Exception)}


@pytest.mark.parametrize(
    "error",
    sorted(exceptions_of(cache) | exceptions_of(upstream) | exceptions_of(errors), key=str),
)
def test_every_error_of_the_faces_has_a_status(error: type[Exception]) -> None:
    if error in NEVER_RAISED:
        return
    assert error in STATUS or any(base in MEANT_FOR_ALL_BELOW for base in error.__mro__)


def test_an_error_nobody_expected_has_no_status() -> None:
    assert status_of(ZeroDivisionError()) is None


def test_a_derived_error_has_the_status_of_its_base() -> None:
    assert status_of(cache.CacheFull(1, 0)) is HTTPStatus.SERVICE_UNAVAILABLE


MESSAGE = "no <b> & 'c'"
HTML = (
    "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n"
    "  no &lt;b&gt; &amp; &#x27;c&#x27;<br /><br />\n\n\n </body>\n</html>"
)
TEXT = "404 Not Found\n\nno <b> & 'c'\n\n   "
JSON = '{"message": "no <b> & \'c\'<br /><br />\\n\\n\\n", "code": "404 Not Found", "title": "Not Found"}'


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        ("", "text/plain", TEXT),
        ("image/png", "text/plain", TEXT),
        ("*/*", "text/html", HTML),
        ("text/html, application/json", "text/html", HTML),
        ("application/json", "application/json", JSON),
        ("text/html;q=0.1, application/*", "application/json", JSON),
        ("text/html;q=0, */*", "application/json", JSON),
        ("application/json;q=x", "text/html", HTML),
    ],
)
def test_the_form_of_an_error_follows_accept(accept: str, content_type: str, body: str) -> None:
    headers = CIMultiDict({"Accept": accept} if accept else {})
    response = error_response(make_mocked_request("GET", "/", headers), HTTPStatus.NOT_FOUND, MESSAGE)
    assert (response.status, response.content_type, response.text) == (404, content_type, body)
