"""POST of an import: everything that can be refused without the data is refused before the task begins."""

from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web

from proxy.api import access, import_requests, stage_host
from proxy.api.call import Call, empty_response
from proxy.api.import_requests import ImportRequest
from proxy.errors import BadRequest, StateConflict
from proxy.tasks import STALE_AFTER_S
from upstream.errors import Denied, Invalid, NotFound, UpstreamError
from upstream.registry import IMPORT_LOCK
from upstream.types import GLINT, Image, TaskStatus

_STORE_HEADER = "x-image-meta-store"


async def start(call: Call) -> web.StreamResponse:
    """Source of the order of checks: glance/api/v2/images.py, import_image."""
    request = import_requests.parse(await call.json(), call.services.config.api.import_methods)
    await call.services.quotas.check_size(call.context)
    image = await call.image()
    import_requests.check_state(image, request)
    import_requests.check_remote(request)
    access.enforce(call, "copy_image" if request.copies else "modify_image", image)
    stale = await _stale_task(call, image)
    header = call.request.headers.get(_STORE_HEADER)
    stores = import_requests.chosen_stores(request, header, call.services.stores.infos())
    if request.copies:
        stores = import_requests.without_present(request, stores, _present(call, image))
        if not stores and request.all_stores:
            return empty_response(HTTPStatus.ACCEPTED)
    if request.name == import_requests.GLANCE_DIRECT and (host := stage_host.of(call, image)):
        return await stage_host.start_import(call, host, request.document)
    await _check_uri(call, request)
    job = call.services.importer.job(call.context, image, request, stores, stale=stale)
    await call.services.tasks.start(job)
    return empty_response(HTTPStatus.ACCEPTED)


async def _stale_task(call: Call, image: Image) -> str | None:
    """The task that has the import lock and is dead; None if nobody has it. Raises StateConflict if it may live."""
    holder = image.properties.get(IMPORT_LOCK)
    if holder is None:
        return None
    try:
        task = await call.services.registry.tasks.get(GLINT, holder)
    except NotFound:
        return holder
    age_s = (datetime.now(UTC) - task.updated_at).total_seconds()
    # An ended task whose lock was never dropped waits as long as one that runs.
    if age_s < STALE_AFTER_S.get(task.status, STALE_AFTER_S[TaskStatus.PROCESSING]):
        raise StateConflict("Image has active task")
    return holder


def _present(call: Call, image: Image) -> set[str | None]:
    found: set[str | None] = set()
    for location in image.locations:
        try:
            found.add(call.services.stores.of(location))
        except UpstreamError:
            found.add(location.store)
    return found


async def _check_uri(call: Call, request: ImportRequest) -> None:
    if request.name != import_requests.WEB_DOWNLOAD:
        return
    if request.uri is None:
        raise BadRequest("URI for web-download does not pass filtering: there is none.")
    try:
        await call.services.importer.check_uri(request.uri)
    except (Denied, Invalid) as error:
        raise BadRequest(f"URI for web-download does not pass filtering: {error}") from error
