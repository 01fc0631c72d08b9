"""Records of tasks: an API that Glance keeps for administrators, and the tasks of an image for whoever sees it.

Source: glance/api/v2/tasks.py; glance/api/v2/images.py, get_task_info.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from aiohttp import hdrs, web

from proxy.api import access, image_fields
from proxy.api.call import Call, json_response
from proxy.api.config import ApiConfig
from proxy.api.task_views import listed_view, raw_view, task_path, task_view
from proxy.errors import BadRequest, Forbidden, MethodNotAllowed, TooLarge
from proxy.imports.task_import import TaskImport
from proxy.tasks import new_task
from upstream.errors import Denied, Invalid
from upstream.registry import Order, TaskQuery
from upstream.types import Image, Task, TaskStatus

_FILTERS = frozenset({"id", "type", "status", "owner", "image_id", "request_id", "user_id"})
_PAGING = frozenset({"limit", "marker", "sort_key", "sort_dir"})
_TYPES = frozenset({"import"})
_NOTHING_BEGINS = "Such a task begins by an import of an image, or by a new location, and by nothing else."
_UUID_DIGITS = 32


async def index(call: Call) -> web.StreamResponse:
    _enforce(call)
    asked = call.query()
    query = parse_query(asked, call.services.config.api)
    found = await call.services.registry.tasks.list(call.context, query)
    parameters = dict(asked)
    parameters.pop("marker", None)
    page: dict[str, Any] = {
        "tasks": [listed_view(task) for task in found],
        "first": _link(parameters),
        "schema": "/v2/schemas/tasks",
    }
    if found and len(found) == query.limit:
        page["next"] = _link({**parameters, "marker": found[-1].id})
    return json_response(page)


async def create(call: Call) -> web.StreamResponse:
    """Of all types only `import` can be begun like this; the others fail, since no import lock is theirs."""
    _enforce(call)
    body = await call.json()
    call.schemas.check_task(body)
    task = new_task(body["type"], call.context, None, body["input"])
    image: Image | str = _NOTHING_BEGINS
    ceiling = None
    if task.type == TaskImport.TASK_TYPE:
        await _check_uri(call, body["input"].get("import_from"))
        try:
            image = _image_to_be(call, task)
        except (BadRequest, Forbidden, TooLarge) as error:
            image = str(error)
        else:
            ceiling = await call.services.quotas.new_image(call.context)
    await call.services.tasks.start(TaskImport(call.services.importer.tools, task, call.context, image, ceiling))
    return json_response(task_view(task), HTTPStatus.CREATED, Location=f"{call.origin}{task_path(task)}")


async def _check_uri(call: Call, uri: object) -> None:
    """Raises BadRequest. Nothing else of the input keeps a task from beginning: it fails for it, as in Glance."""
    if not isinstance(uri, str) or not uri:
        raise BadRequest("Input does not contain import_from, the URI of the data.")
    try:
        await call.services.importer.check_uri(uri)
    except (Denied, Invalid) as error:
        raise BadRequest(f"URI for legacy import task does not pass filtering: {error}") from error


def _image_to_be(call: Call, task: Task) -> Image:
    """The image that the input describes. Raises BadRequest, Forbidden, TooLarge."""
    said = task.input or {}
    if missing := [name for name in ("import_from_format", "image_properties") if name not in said]:
        raise BadRequest(f"Input does not contain {', '.join(missing)}.")
    document = said["image_properties"]
    if not isinstance(document, dict):
        raise BadRequest("The image_properties of the input must be an object.")
    if formats := [name for name in ("disk_format", "container_format") if document.get(name) is None]:
        raise BadRequest(f"Properties {', '.join(formats)} must be set prior to saving data.")
    image = image_fields.new_image(
        document,
        image_id=task.id,
        owner=call.context.project_id,
        now=datetime.now(UTC),
        schemas=call.schemas,
        config=call.services.config.api,
    )
    access.enforce_creation(call, image.owner, document.get("visibility"))
    return replace(image, id=task.id)


async def show(call: Call) -> web.StreamResponse:
    _enforce(call)
    task: Task = await call.services.registry.tasks.get(call.context, call.parameters["task_id"])
    return json_response(task_view(task))


async def delete(call: Call) -> web.StreamResponse:
    """Records go by themselves when they have expired."""
    _enforce(call)
    raise MethodNotAllowed(hdrs.METH_DELETE, (hdrs.METH_GET,))


async def of_image(call: Call) -> web.StreamResponse:
    image = await call.image()
    access.enforce(call, "get_image", image)
    found = await call.services.registry.tasks.of_image(call.context, image.id)
    return json_response({"tasks": [raw_view(task) for task in found]})


def _enforce(call: Call) -> None:
    call.services.policy.enforce("tasks_api_access", call.context, {})


def parse_query(asked: Sequence[tuple[str, str]], config: ApiConfig) -> TaskQuery:
    """What a query string asks for. Of what comes twice the first counts, of a filter the last. Raises BadRequest."""
    parameters = dict(asked) | {name: value for name, value in reversed(asked) if name in _PAGING}
    direction = parameters.get("sort_dir", Order.DESCENDING)
    if direction not in list(Order):
        raise BadRequest(f"Invalid sort direction: {direction[:40]}")
    if (status := parameters.get("status")) and status not in list(TaskStatus):
        raise BadRequest(f"Invalid status value: {status[:40]}")
    if (kind := parameters.get("type")) and kind not in _TYPES:
        raise BadRequest(f"Invalid type value: {kind[:40]}")
    marker = parameters.get("marker")
    if marker and len(marker.replace("-", "")) != _UUID_DIGITS:
        raise BadRequest("Invalid marker format")
    return TaskQuery(
        filters={name: value for name, value in parameters.items() if name in _FILTERS},
        sort_key=parameters.get("sort_key", "created_at"),
        order=Order(direction),
        marker=marker,
        limit=_limit(parameters.get("limit"), config),
    )


def _limit(text: str | None, config: ApiConfig) -> int:
    if text is None:
        return min(config.limit_param_default, config.api_limit_max)
    try:
        limit = int(text)
    except ValueError:
        raise BadRequest(f"limit param must be an integer, got {text[:40]!r}") from None
    if limit < 0:
        raise BadRequest("limit param must be positive")
    return min(limit, config.api_limit_max)


def _link(parameters: Mapping[str, str]) -> str:
    return f"/v2/tasks?{urlencode(parameters)}" if parameters else "/v2/tasks"
