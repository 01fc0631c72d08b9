"""Who may see which image: once as a decision about one row, once as SQL for lists. The two differ on purpose."""

from collections.abc import Container

from sqlalchemy import ColumnElement, and_, exists, false, or_, true

from upstream.registry.base import ImageQuery
from upstream.registry.sql.exact import is_text
from upstream.registry.sql.indexes import unindexed
from upstream.registry.sql.tables import image_members, images
from upstream.types import Context, Visibility

OPEN = frozenset({Visibility.PUBLIC, Visibility.COMMUNITY})


def is_visible(context: Context, owner: str | None, visibility: str, members: Container[str]) -> bool:
    """Whether `context` may see this image when it asks by id.

    `members` are projects the image is shared with, whatever they answered: somebody must see an offer to accept it.
    An image without an owner is seen by everybody. Source: glance/db/utils.py, is_image_visible.
    """
    if context.is_admin or owner is None or visibility in OPEN:
        return True
    if context.project_id is None:
        return False
    return context.project_id == owner or (visibility == Visibility.SHARED and context.project_id in members)


def is_listed(context: Context, query: ImageQuery) -> ColumnElement[bool]:
    """The condition on `images` for a row to be in a list.

    Stricter than `is_visible`: shared images must have been answered as `query.member_status` says, images without an
    owner are left out unless they are open, and other people's community images come only when asked for.
    Source: glance/db/sqlalchemy/api.py, _select_images_query and _image_get_all.
    """
    if query.all_visibilities:
        chosen: ColumnElement[bool] = true()
    elif query.visibility is not None:
        chosen = unindexed(images.c.visibility) == query.visibility.value
    else:
        chosen = or_(images.c.visibility != Visibility.COMMUNITY.value, _is_own(context))
    if context.is_admin:
        return chosen
    is_open = unindexed(images.c.visibility).in_(sorted(OPEN))
    return and_(chosen, or_(is_open, _is_own(context), _is_shared_with(context, query.member_status)))


def _is_own(context: Context) -> ColumnElement[bool]:
    return false() if context.project_id is None else is_text(unindexed(images.c.owner), context.project_id)


def _is_shared_with(context: Context, member_status: str) -> ColumnElement[bool]:
    if context.project_id is None:
        return false()
    conditions = [
        image_members.c.image_id == images.c.id,
        is_text(image_members.c.member, context.project_id),
        unindexed(image_members.c.deleted) == false(),
    ]
    if member_status != "all":
        conditions.append(image_members.c.status == member_status)
    return and_(unindexed(images.c.visibility) == Visibility.SHARED.value, exists().where(*conditions))
