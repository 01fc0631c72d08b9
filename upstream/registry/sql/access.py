"""Which ids can be there at all, and whether who asks may see what was found. Pure."""

from upstream.errors import NotFound
from upstream.registry.sql.exact import has_long_letters
from upstream.registry.sql.rows import Record
from upstream.registry.sql.visibility import is_visible
from upstream.types import Context

ID_LENGTH_MAX = 36


def projects(context: Context) -> tuple[str, ...]:
    return () if context.project_id is None else (context.project_id,)


def is_id(image_id: str) -> bool:
    return 0 < len(image_id) <= ID_LENGTH_MAX and "\0" not in image_id and not has_long_letters(image_id)


def check_id(image_id: str) -> None:
    """Raises NotFound for what no row can have as its id, before a database stumbles over it."""
    if not is_id(image_id):
        raise NotFound("image", image_id)


def visible(context: Context, image_id: str, record: Record | None) -> Record:
    """Raises NotFound if there is none, or none that `context` may see."""
    if record is None or not is_visible(context, record.row.owner, record.row.visibility, record.members):
        raise NotFound("image", image_id)
    return record
