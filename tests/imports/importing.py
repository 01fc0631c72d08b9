"""What the tests of imports ask a Glint, and what they wait for."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.glint import LEFT_OUT, Answer, Glint

LOCK = "os_glance_import_task"
FAILED = "os_glance_failed_import"
IMPORTING = "os_glance_importing_to_stores"
# The origins of these tests are on a loopback address and a port of their own: named here, as an operator would.
LOOPBACK: Mapping[str, Any] = {"allowed_ports": [], "denied_networks": ["127.0.0.2/32", "169.254.0.0/16"]}


def importing_glint(folder: Path, settings: Mapping[str, Any] | None = None) -> Glint:
    """With two file stores, `local` and `other`."""
    return Glint(
        folder,
        {
            "stores.backends": LEFT_OUT,
            "stores.backends.local": {"kind": "file", "dir": "images"},
            "stores.backends.other": {"kind": "file", "dir": "images2"},
            "stores.backends.web": {"kind": "http"},
            "api.staging_dir": "staging",
            "api.import_filter": dict(LOOPBACK),
            **(settings or {}),
        },
    )


def begin(glint: Glint, image_id: str, method: str = "web-download", **more: Any) -> Answer:
    """POST an import; `uri` goes with the method, other keys lie beside it."""
    named = {"name": method} | {key: more.pop(key) for key in tuple(more) if key == "uri" or key.startswith("glance_")}
    token = more.pop("token", None)
    return glint.request("POST", f"/v2/images/{image_id}/import", {"method": named, **more}, token=token)


def image_of(glint: Glint, image_id: str, *, token: str | None = None) -> Any:
    return glint.get(f"/v2/images/{image_id}", token=token).json


def tasks_of(glint: Glint, image_id: str, *, token: str | None = None) -> list[Any]:
    tasks: list[Any] = glint.get(f"/v2/images/{image_id}/tasks", token=token).json["tasks"]
    return tasks


def settled(glint: Glint, image_id: str, *, token: str | None = None, timeout_s: float = 60) -> Any:
    """The image, once no task works on it any more."""
    wait_until(lambda: LOCK not in image_of(glint, image_id, token=token), timeout_s)
    return image_of(glint, image_id, token=token)


def wait_until(is_so: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come to that in time"
        time.sleep(0.05)


def left_in(folder: Path) -> list[str]:
    """The files below it, locks of tasks left out."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.parent.name != "tasks")
