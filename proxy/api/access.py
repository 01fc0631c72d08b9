"""What the policy says about images, told so that a refusal does not betray an image that the caller cannot see."""

from collections.abc import Mapping
from typing import Any

from proxy.api.call import Call
from proxy.errors import Forbidden
from proxy.policy import image_target
from upstream.errors import NotFound
from upstream.types import Image, Visibility

_VISIBILITY_RULES: Mapping[str, str] = {
    Visibility.PUBLIC: "publicize_image",
    Visibility.COMMUNITY: "communitize_image",
}


def enforce(call: Call, rule: str, image: Image) -> None:
    """Raises Forbidden, and NotFound instead if the caller may not even get the image.

    Source: glance/api/v2/policy.py, ImageAPIPolicy._enforce.
    """
    policy, target = call.services.policy, image_target(image)
    try:
        policy.enforce(rule, call.context, target)
    except Forbidden:
        if rule == "get_image" or not policy.allows("get_image", call.context, target):
            raise NotFound("image", image.id) from None
        raise
    policy.enforce_ownership(rule, call.context, image)


def enforce_on_members(call: Call, rule: str, image: Image) -> None:
    """Raises NotFound if the caller may not get the image, and only then Forbidden.

    Source: glance/api/v2/policy.py, MemberAPIPolicy._enforce.
    """
    enforce(call, "get_image", image)
    call.services.policy.enforce(rule, call.context, image_target(image))
    call.services.policy.enforce_ownership(rule, call.context, image)


def allows(call: Call, rule: str, image: Image) -> bool:
    return call.services.policy.allows(rule, call.context, image_target(image))


def enforce_visibility(call: Call, visibility: str, target: Mapping[str, Any]) -> None:
    """Raises Forbidden if the caller may not make an image public or a community's."""
    if (rule := _VISIBILITY_RULES.get(visibility)) is not None:
        call.services.policy.enforce(rule, call.context, target)


def enforce_creation(call: Call, owner: str | None, visibility: str | None) -> None:
    """Raises Forbidden if the caller may not create an image of this owner and visibility.

    Source: glance/api/v2/policy.py, ImageAPIPolicy.add_image; an image without visibility counts as private there.
    """
    target = {"project_id": owner, "owner": owner, "visibility": visibility or Visibility.PRIVATE}
    try:
        call.services.policy.enforce("add_image", call.context, target)
    except Forbidden:
        if owner != call.context.project_id:
            raise Forbidden(f"You are not permitted to create images owned by '{owner}'.") from None
        raise
    enforce_visibility(call, target["visibility"] or "", target)
    call.services.policy.enforce_own_project(call.context, owner)
