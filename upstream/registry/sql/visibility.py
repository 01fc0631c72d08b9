"""Who may see which image: once as a decision about one row, once as SQL for lists. The two differ on purpose."""

from collections.abc import Container

from sqlalchemy import ColumnElement, SelectBase, and_, exists, false, or_, select, true, union_all

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
    """The condition on `images` for a row to be in a list, beside a visibility that `query` names.

    Stricter than `is_visible`: shared images must have been answered as `query.member_status` says, images without an
    owner are left out unless they are open, and other people's community images come only when asked for.
    Source: glance/db/sqlalchemy/api.py, _select_images_query and _image_get_all.
    """
    if query.all_visibilities or query.visibility is not None:
        chosen: ColumnElement[bool] = true()
    else:
        chosen = or_(images.c.visibility != Visibility.COMMUNITY.value, _is_own(context))
    if context.is_admin:
        return chosen
    is_open = unindexed(images.c.visibility).in_(sorted(OPEN))
    return and_(chosen, or_(is_open, _is_own(context), _is_shared_with(context, query.member_status)))


def _is_own(context: Context) -> ColumnElement[bool]:
    return false() if context.project_id is None else is_text(unindexed(images.c.owner), context.project_id)


def may_be_of(project_id: str) -> SelectBase:
    """The ids of all images that are this project's or shared with it, and perhaps of more."""
    own = select(images.c.id.label("image_id")).where(is_text(images.c.owner, project_id))
    return union_all(own, select(image_members.c.image_id).where(*_member_is(project_id)))


def _is_shared_with(context: Context, member_status: str) -> ColumnElement[bool]:
    if context.project_id is None:
        return false()
    conditions = [image_members.c.image_id == images.c.id, *_member_is(context.project_id)]
    if member_status != "all":
        conditions.append(image_members.c.status == member_status)
    return and_(unindexed(images.c.visibility) == Visibility.SHARED.value, exists().where(*conditions))


def _member_is(project_id: str) -> tuple[ColumnElement[bool], ...]:
    return is_text(image_members.c.member, project_id), unindexed(image_members.c.deleted) == false()
