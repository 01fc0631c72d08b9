"""Everything that can be asked of what a registry and its stores hold, and where two answers differ."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.parity.client import Answer
from tests.takeover.service import PERSONAS, Made, Service

_LISTS = (
    "",
    "?limit=1000",
    "?limit=3&sort=name:asc&status=active",  # where nothing is null: each database puts that elsewhere
    "?sort=size:desc,name:asc&status=active",
    "?sort=status:asc,created_at:desc",
    "?visibility=public",
    "?visibility=private",
    "?visibility=community",
    "?visibility=shared",
    "?visibility=shared&member_status=pending",
    "?visibility=shared&member_status=rejected",
    "?visibility=all&member_status=all&limit=1000",
    "?os_hidden=true",
    "?protected=true",
    "?status=queued",
    "?status=in:deactivated,queued",
    "?tag=blue",
    "?tag=blue&tag=late",
    "?tag=gr%C3%BCn",
    "?os_distro=debian",
    "?hw_disk_bus=scsi&stays=1",
    "?lost=yes",
    "?size_min=65540&size_max=65545",
    "?disk_format=in:raw,qcow2&container_format=bare",
    "?created_at=gt:2001-01-01T00:00:00Z",
    "?updated_at=lt:2001-01-01T00:00:00Z",
    "?owner={demo}",
    "?name={name}%20plain",
    "?name=in:{name}%20plain,{name}%20shared",
)
_OTHERS = (
    "/v2/schemas/image",
    "/v2/schemas/images",
    "/v2/schemas/member",
    "/v2/schemas/members",
    "/v2/schemas/metadefs/namespace",
    "/v2/info/import",
    "/v2/info/stores",
    "/v2/info/stores/detail",
    "/v2/info/usage",
    "/v2/metadefs/namespaces",
    "/v2/metadefs/namespaces?visibility=private",
    "/v2/metadefs/namespaces?resource_types=OS::Glance::Image",
    "/v2/metadefs/resource_types",
    "/v2/tasks",
    "/v2/tasks?status=failure",
)
_OF_IMAGE = ("", "/members", "/members/{alt}", "/members/{demo}", "/tasks", "/locations", "/file")
_OF_NAMESPACE = (
    "",
    "?resource_type=OS::Nova::Server",
    "/objects",
    "/objects/disk",
    "/objects/none",
    "/properties",
    "/properties/cores",
    "/tags",
    "/tags/gold",
    "/resource_types",
)
_WORDS = frozenset({"description", "message"})
"""Keys whose texts are a service's own where it describes itself: in its schemas."""
_OWN = frozenset({"chunk_size"})
"""Keys whose values are a service's own: how much its file store reads at once."""
_LINKS = frozenset({"first", "next"})
"""Keys of links, from which Glance leaves out all but the last of parameters of one name."""
_IN_ANY_ORDER = frozenset({"tags", "resource_type_associations", "members", "locations"})
"""Keys of lists that Glance returns as the database gives them, without an order: after an update another."""


@dataclass(frozen=True, slots=True)
class Question:
    persona: str
    path: str


Answers = Mapping[Question, Any]
_TASKS = Question("admin", "/v2/tasks")


def everything(service: Service, name: str, *made: Made, share: int = 1) -> Answers:
    """The answers to all questions about what these hold, by everybody; or to each `share`-th of them."""
    questions = [
        question
        for number, question in enumerate(_questions(service, name, made))
        if number % share == 0 or question == _TASKS
    ]
    with ThreadPoolExecutor(4) as threads:
        answers = dict(zip(questions, threads.map(lambda question: _answer(service, question), questions), strict=True))
        listed = answers[_TASKS][1]["tasks"]
        tasks = [Question("admin", f"/v2/tasks/{each['id']}") for each in listed]
        answers |= dict(zip(tasks, threads.map(lambda task: _answer(service, task), tasks), strict=True))
    return answers


def differences(before: Answers, after: Answers, *, without_times_of: Collection[str] = ()) -> list[str]:
    """One text for each place of an answer that differs; `without_times_of` are images that may be written to."""
    found = []
    for question in dict.fromkeys([*before, *after]):
        one, other = (_timeless(answers.get(question), without_times_of) for answers in (before, after))
        found += [f"{question.persona} {question.path}: {text}" for text in _unequal(one, other)]
    return found


def _unequal(one: Any, other: Any, path: str = "") -> list[str]:
    """The innermost places where two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            text
            for name in one.keys() | other.keys()
            for text in _unequal(one.get(name), other.get(name), f"{path}.{name}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [text for number, (a, b) in pairs for text in _unequal(a, b, f"{path}.{number}")]
    return [] if one == other else [f"{path or 'all'}: {one!r:.300} and {other!r:.300}"]


def _timeless(value: Any, ids: Collection[str]) -> Any:
    if isinstance(value, list | tuple):
        return [_timeless(each, ids) for each in value]
    if isinstance(value, dict):
        is_one = str(value.get("id")) in ids
        return {k: _timeless(v, ids) for k, v in value.items() if not (is_one and k == "updated_at")}
    return value


def wrong_data(service: Service, *made: Made) -> list[str]:
    """The images whose bytes, as an admin gets them, are not those that were sent or not what their digests say."""
    wrong = []
    for image_id, data in [item for each in made for item in each.data.items()]:
        shown = service.do("admin", "GET", f"/v2/images/{image_id}")
        got = service.ask("admin", "GET", f"/v2/images/{image_id}/file").body
        digest = hashlib.sha512(data).hexdigest()
        if got != data or shown["os_hash_value"] not in {None, digest} or shown["size"] != len(data):
            wrong.append(f"{shown}: {len(got)} bytes in place of {len(data)}")
    return wrong


def _questions(service: Service, name: str, made: Sequence[Made]) -> Iterator[Question]:
    values = dict(service.identity.projects) | {"name": name}
    paths = [f"/v2/images{query}" for query in _LISTS] + list(_OTHERS)
    for each in made:
        paths += [f"/v2/images/{image_id}{path}" for image_id in each.images.values() for path in _OF_IMAGE]
        paths += [f"/v2/metadefs/namespaces/{space}{path}" for space in each.namespaces for path in _OF_NAMESPACE]
    for path in paths:
        for persona in PERSONAS:
            yield Question(persona, path.format(**values))


def _answer(service: Service, question: Question) -> tuple[int, Any]:
    """The status, and the body as far as it is not the service's own wording: of errors nothing, of data a digest."""
    answer = service.ask(question.persona, "GET", question.path)
    if answer.status >= 300:
        return answer.status, None
    left_out = _OWN | (_WORDS if "/schemas/" in question.path else frozenset())
    if question.path.count("tag=") > 1:
        left_out |= _LINKS
    return answer.status, _folded(_body(answer), left_out, question.path.rpartition("/")[2])


def _body(answer: Answer) -> Any:
    if answer.headers.get("content-type", "").startswith("application/json"):
        return json.loads(answer.body)
    return len(answer.body), hashlib.sha256(answer.body).hexdigest()


def _folded(value: Any, left_out: frozenset[str], key: str = "") -> Any:
    """What has no order sorted, and some keys left out where their values are texts or numbers."""
    if isinstance(value, dict):
        left_out = left_out | {"direct_url"} if len(value.get("locations", ())) > 1 else left_out
        return {
            name: _folded(inner, left_out, name)
            for name, inner in value.items()
            if name not in left_out or isinstance(inner, dict | list)
        }
    if isinstance(value, list):
        inner = [_folded(each, left_out) for each in value]
        return sorted(inner, key=str) if key in _IN_ANY_ORDER else inner
    return value
