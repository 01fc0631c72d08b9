"""Members of an image: the projects that it is shared with.

Source: glance/api/v2/image_members.py, ImageMembersController.
"""

from typing import Any

from aiohttp import web

from proxy.api import access, views
from proxy.api.call import Call, empty_response, json_response
from proxy.errors import BadRequest, Forbidden
from upstream.errors import NotFound
from upstream.types import Image, MemberStatus, Visibility

_MEMBER_MAX = 255
_BASIC_PLANE_MAX = "\uffff"  # what three bytes of UTF-8 hold, and so MySQL in Glance's schema


async def index(call: Call) -> web.StreamResponse:
    image = await _shared_image(call)
    access.enforce_on_members(call, "get_members", image)
    members = await call.services.registry.members.list(call.context, image.id)
    if not access.allows(call, "get_member", image):
        members = ()
    return json_response(views.member_list_view(members))


async def add(call: Call) -> web.StreamResponse:
    """A member who was removed comes back as if new. 200, where other resources say 201."""
    project_id = _new_member(await call.json())
    image = await _shared_image(call)
    access.enforce_on_members(call, "add_member", image)
    quota = call.services.config.api.image_member_quota
    member = await call.services.registry.members.add(call.context, image.id, project_id, quota=quota)
    return json_response(views.member_view(member))


async def show(call: Call) -> web.StreamResponse:
    """Who may not look is told that there is none."""
    try:
        image = await _shared_image(call)
        access.enforce_on_members(call, "get_member", image)
    except Forbidden:
        raise NotFound("member", call.parameters["member_id"]) from None
    member = await call.services.registry.members.get(call.context, image.id, call.parameters["member_id"])
    return json_response(views.member_view(member))


async def answer(call: Call) -> web.StreamResponse:
    """A member accepts or rejects; the owner cannot do it in its place."""
    status = _value(await call.json(), "status")
    image = await _shared_image(call)
    member = await _member(call, image)
    access.enforce_on_members(call, "modify_member", image)
    if status not in tuple(MemberStatus):
        raise BadRequest(f"Incorrect request: Status must be one of {', '.join(MemberStatus)}.")
    answered = await call.services.registry.members.answer(call.context, image.id, member, MemberStatus(status))
    return json_response(views.member_view(answered))


async def remove(call: Call) -> web.StreamResponse:
    image = await _shared_image(call)
    member = await _member(call, image)
    access.enforce_on_members(call, "delete_member", image)
    await call.services.registry.members.remove(call.context, image.id, member)
    return empty_response()


async def _shared_image(call: Call) -> Image:
    image = await call.image()
    if image.visibility is not Visibility.SHARED:
        raise Forbidden("Only shared images have members.")
    return image


async def _member(call: Call, image: Image) -> str:
    """The project that the path names, which the caller may know of. Raises Forbidden and NotFound."""
    access.enforce_on_members(call, "get_member", image)
    member = await call.services.registry.members.get(call.context, image.id, call.parameters["member_id"])
    return member.project_id


def _new_member(body: Any) -> str:
    member = _value(body, "member")
    if not isinstance(member, str) or not member:
        raise BadRequest("A member is the ID of a project.")
    if len(member) > _MEMBER_MAX or max(member) > _BASIC_PLANE_MAX:
        raise BadRequest(f"A member is the ID of a project, of at most {_MEMBER_MAX} characters of 3 bytes.")
    return member


def _value(body: Any, key: str) -> Any:
    if not isinstance(body, dict) or key not in body:
        raise BadRequest(f'Expected a {key} in the form: {{"{key}": "…"}}')
    return body[key]
