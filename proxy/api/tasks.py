"""Records of tasks: an API that Glance keeps for administrators, and the tasks of an image for whoever sees it.

Source: glance/api/v2/tasks.py; glance/api/v2/images.py, get_task_info.
"""

from collections.abc import Mapping
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
from proxy.errors import BadRequest, MethodNotAllowed
from proxy.imports.task_import import TaskImport
from proxy.tasks import new_task
from upstream.errors import Denied, Invalid
from upstream.registry import Order, TaskQuery
from upstream.types import Image, Task, TaskStatus

_FILTERS = frozenset({"id", "type", "status", "owner", "image_id", "request_id", "user_id"})
_TYPES = frozenset({"import"})
_UUID_DIGITS = 32
_LIMIT_DIGITS_MAX = 18


async def index(call: Call) -> web.StreamResponse:
    _enforce(call)
    parameters = dict(call.query())
    query = parse_query(parameters, call.services.config.api)
    found = await call.services.registry.tasks.list(call.context, query)
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
    image = ceiling = None
    if task.type == TaskImport.TASK_TYPE:
        image = await _image_to_be(call, task)
        ceiling = await call.services.quotas.new_image(call.context)
    await call.services.tasks.start(TaskImport(call.services.importer.tools, task, call.context, image, ceiling))
    return json_response(task_view(task), HTTPStatus.CREATED, Location=f"{call.origin}{task_path(task)}")


async def _image_to_be(call: Call, task: Task) -> Image:
    """The image that the input describes. Raises BadRequest, Forbidden."""
    said = task.input or {}
    missing = [name for name in ("import_from", "import_from_format", "image_properties") if not said.get(name)]
    if missing or not isinstance(said["import_from"], str) or not isinstance(said["image_properties"], dict):
        raise BadRequest(f"Input does not contain {', '.join(missing)}" if missing else "Input has a value of no use.")
    try:
        await call.services.importer.check_uri(said["import_from"])
    except (Denied, Invalid) as error:
        raise BadRequest(f"URI for legacy import task does not pass filtering: {error}") from error
    usual = {"disk_format": "qcow2", "container_format": "bare"} if not said["image_properties"] else {}
    document = {**usual, **said["image_properties"]}
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


def parse_query(parameters: Mapping[str, str], config: ApiConfig) -> TaskQuery:
    """What a query string asks for; of a repeated parameter the last counts. Raises BadRequest."""
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
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > _LIMIT_DIGITS_MAX:
        raise BadRequest("limit param must be a positive integer")
    return min(int(digits), config.api_limit_max)


def _link(parameters: Mapping[str, str]) -> str:
    return f"/v2/tasks?{urlencode(parameters)}" if parameters else "/v2/tasks"
