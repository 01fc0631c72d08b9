"""Records of tasks as JSON, in the three forms that Glance has for them. Pure."""

from datetime import UTC, datetime
from typing import Any

from proxy.api.views import timestamp
from upstream.types import Task


def task_path(task: Task) -> str:
    return f"/v2/tasks/{task.id}"


def task_view(task: Task) -> dict[str, Any]:
    """A task by itself. What there is none of is left out."""
    view = {
        "id": task.id,
        "input": task.input,
        "type": task.type,
        "status": task.status,
        "owner": task.owner,
        "message": task.message,
        "result": task.result,
        "created_at": timestamp(task.created_at),
        "updated_at": timestamp(task.updated_at),
        "self": task_path(task),
        "schema": "/v2/schemas/task",
    }
    more = {"image_id": task.image_id, "request_id": task.request_id, "user_id": task.user_id}
    return view | {name: value for name, value in more.items() if value} | _expiry(task)


def listed_view(task: Task) -> dict[str, Any]:
    """One of a list."""
    view = {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "owner": task.owner,
        "created_at": timestamp(task.created_at),
        "updated_at": timestamp(task.updated_at),
        "self": task_path(task),
        "schema": "/v2/schemas/task",
    }
    return view | _expiry(task)


def raw_view(task: Task) -> dict[str, Any]:
    """One of an image: the row as it stands in the database."""
    return {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "owner": task.owner,
        "expires_at": _plain(task.expires_at),
        "created_at": _plain(task.created_at),
        "updated_at": _plain(task.updated_at),
        "deleted_at": None,
        "deleted": False,
        "image_id": task.image_id,
        "request_id": task.request_id,
        "user_id": task.user_id,
        "input": task.input,
        "result": task.result,
        "message": task.message,
    }


def _expiry(task: Task) -> dict[str, str]:
    return {} if task.expires_at is None else {"expires_at": timestamp(task.expires_at)}


def _plain(moment: datetime | None) -> str | None:
    """To the microsecond, and without the zone, which is UTC."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
