"""Folds what differs between two runs on two servers into placeholders. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.parity.client import Answer

HEADERS = (
    "accept-patch",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "allow",
    "content-md5",
    "content-range",
    "content-type",
    "location",
    "openstack-image-import-methods",
    "openstack-image-store-ids",
    "retry-after",
    "vary",
    "www-authenticate",
    "x-openstack-request-id",
)
"""The headers a client acts upon."""

_FIRST_ERROR = 400
_STORE_IDS = "openstack-image-store-ids"

_UNORDERED = frozenset({"tags"})
"""Lists that Glance keeps as sets: it returns them in no fixed order."""

_UNORDERED_RECORDS = frozenset({"resource_type_associations"})
"""Lists of records with names that the database joins in no fixed order."""
_EPOCHS = frozenset({"last_accessed", "last_modified"})
"""Times as seconds since 1970."""

_OF_THE_PROCESS = frozenset({"now", "platform", "python_version", "gc", "threads", "greenthreads"})
"""What a detailed health check tells of the process that answers."""

_TEXT_BODY_BYTES_MAX = 64

_WORDS = "<words>"
"""Stands for wording: that of errors and of schema descriptions is Glint's own, their place and form are not."""

_FOLDED = {"description": _WORDS, "details": _WORDS, "message": _WORDS, "user_id": "<user>"}
"""What stands for any text but an empty one under these keys."""

_PLAIN_ERROR = re.compile(r"(\d{3} [^\n]+\n\n).*\S.*", re.DOTALL)
_HTML_ERROR = re.compile(
    r"(<html>\n <head>\n  <title>([^<]+)</title>\n </head>\n <body>\n  <h1>\2</h1>\n  )(?!<).*", re.DOTALL
)

_PATTERNS = (
    (re.compile(r"\breq-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<request id>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)?"), "<time>"),
    (re.compile(r"file:///\S*?/(?=[^/\s]+$)"), "file:///<dir>/"),
    (re.compile(r"http://127\.0\.0\.1:\d+/v3/?"), "<keystone>"),
    (re.compile(r"https://127\.0\.0\.1:\d+"), "https://<here>"),
)


def fold(text: str, known: Mapping[str, str]) -> str:
    """Replace the values in `known` (placeholder to value) and whatever looks like an id, a time or an address."""
    for placeholder, value in sorted(known.items(), key=lambda item: (-len(item[1]), item[0])):
        text = text.replace(value, f"{{{placeholder}}}")
    for pattern, placeholder in _PATTERNS:
        text = pattern.sub(placeholder, text)
    return text


def fold_json(document: Any, known: Mapping[str, str], key: str = "") -> Any:
    """Fold every string of a JSON document and sort the lists that have no order."""
    if isinstance(document, str):
        if key == "data_dir":
            return f"<dir>/{document.rpartition('/')[2]}"
        return _FOLDED[key] if key in _FOLDED and document else fold(document, known)
    if isinstance(document, float) and key in _EPOCHS:
        return "<epoch>"
    if key == "id" and isinstance(document, int):
        return "<row>"  # of Glance's table of cached images; it counts those of all cases
    if isinstance(document, list):
        folded = [fold_json(item, known) for item in document]
        if key in _UNORDERED_RECORDS:
            return sorted(folded, key=lambda record: str(record.get("name")))
        return sorted(folded) if key in _UNORDERED and all(isinstance(item, str) for item in folded) else folded
    if isinstance(document, dict):
        if document.get("detailed") is True:
            document = {name: "<any>" if name in _OF_THE_PROCESS else value for name, value in document.items()}
        return {fold(name, known): fold_json(value, known, name) for name, value in document.items()}
    return document


def length_class(answer: Answer) -> str:
    """The announced length of image data; of other bodies only that it was announced.

    Image data in chunks counts as announced: Glance sends chunks whenever its cache copies what passes.
    """
    length = answer.headers.get("content-length")
    if answer.headers.get("content-type") == "application/octet-stream":
        return length or str(len(answer.body))
    return "none" if length is None else "n"


def body_of(answer: Answer, known: Mapping[str, str]) -> Any:
    """The body as JSON, as text, or as its length and digest, by what it is."""
    if not answer.body:
        return None
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind in {"application/json", "application/schema+json"}:
        try:
            document = json.loads(answer.body)
        except ValueError:
            return {"not json": fold(answer.body.decode(errors="replace"), known)}
        if answer.status >= _FIRST_ERROR and isinstance(document, dict) and document.get("message"):
            document["message"] = _WORDS
        return fold_json(document, known)
    if kind == "text/html":
        is_page = b"<title>healthcheck status" in answer.body.lower()
        is_error = answer.status >= _FIRST_ERROR and not is_page
        return _HTML_ERROR.sub(rf"\1{_WORDS}", answer.body.decode()) if is_error else _WORDS
    if kind == "text/plain" and answer.status >= _FIRST_ERROR:
        return _PLAIN_ERROR.sub(rf"\1{_WORDS}", answer.body.decode())
    if kind.startswith("text/") or len(answer.body) <= _TEXT_BODY_BYTES_MAX:
        return fold(answer.body.decode(errors="backslashreplace"), known)
    return f"<{len(answer.body)} bytes, sha256 {hashlib.sha256(answer.body).hexdigest()}>"


def normalise(answer: Answer, known: Mapping[str, str]) -> dict[str, Any]:
    """The comparable part of an answer, ready for JSON.

    Of an answer without a body neither its length nor its type counts: Glance calls them empty HTML. Stores that Glance
    reserves for itself are left out: whether it names them depends on which of its processes answers.
    """
    headers = {name: fold(answer.headers[name], known) for name in HEADERS if name in answer.headers}
    if "content-type" in headers:
        headers["content-type"] = headers["content-type"].lower()
    if _STORE_IDS in headers:
        headers[_STORE_IDS] = ",".join(s for s in headers[_STORE_IDS].split(",") if not s.startswith("os_glance_"))
    if answer.body or headers.get("content-type") == "application/octet-stream":
        headers["content-length"] = length_class(answer)
    else:
        headers.pop("content-type", None)
    return {
        "status": answer.status,
        "headers": headers,
        "body": body_of(answer, known),
    }
