"""Who may see which image: once as a decision about one row, once as SQL for lists. The two differ on purpose."""

from collections.abc import Container

from sqlalchemy import ColumnElement, SelectBase, and_, false, or_, select, true, union_all

from upstream.registry.base import ImageQuery
from upstream.registry.sql.exact import is_text
from upstream.registry.sql.indexes import there_is, unindexed
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


def is_listed(context: Context, query: ImageQuery, *, as_set: bool = False) -> ColumnElement[bool]:
    """The condition on `images` for a row to be in a list, beside a visibility that `query` names.

    What is shared is looked up for each row, or read once `as_set`.

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
    return and_(chosen, or_(is_open, _is_own(context), _is_shared_with(context, query.member_status, as_set=as_set)))


def _is_own(context: Context) -> ColumnElement[bool]:
    return false() if context.project_id is None else is_text(unindexed(images.c.owner), context.project_id)


def may_be_listed(context: Context, query: ImageQuery) -> SelectBase | None:
    """The ids of all images that can be in the list for who is asking, and perhaps of more. None if that may be any."""
    if context.is_admin or query.visibility in OPEN:
        return None
    parts = []
    if query.visibility is None:
        # Of the community's, those of others come only when asked for; its own are the project's.
        asked = OPEN if query.all_visibilities else {Visibility.PUBLIC}
        parts += [
            select(images.c.id.label("image_id")).where(images.c.visibility == each.value) for each in sorted(asked)
        ]
    if context.project_id is not None:
        parts.append(select(images.c.id.label("image_id")).where(is_text(images.c.owner, context.project_id)))
        parts.append(select(image_members.c.image_id).where(*_member_is(context.project_id)))
    return union_all(*parts) if parts else None


def _is_shared_with(context: Context, member_status: str, *, as_set: bool) -> ColumnElement[bool]:
    if context.project_id is None:
        return false()
    conditions = list(_member_is(context.project_id))
    if member_status != "all":
        conditions.append(image_members.c.status == member_status)
    if as_set:
        is_member: ColumnElement[bool] = images.c.id.in_(select(image_members.c.image_id).where(*conditions))
    else:
        is_member = there_is(image_members.c.image_id == images.c.id, *conditions)
    return and_(unindexed(images.c.visibility) == Visibility.SHARED.value, is_member)


def _member_is(project_id: str) -> tuple[ColumnElement[bool], ...]:
    return is_text(image_members.c.member, project_id), unindexed(image_members.c.deleted) == false()
