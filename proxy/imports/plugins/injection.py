"""inject_image_metadata: properties that each imported image gets, but for those of certain roles."""

import structlog

from proxy.imports.plugins.base import Subject
from upstream.registry import ImageChanges

log = structlog.get_logger(__name__)


async def inject(subject: Subject) -> ImageChanges:
    section = subject.config.inject_metadata
    ignored = {role.lower() for role in section.ignore_user_roles}
    if not section.inject or ignored & subject.context.roles:
        return ImageChanges()
    log.info("import.injected", image=subject.image.id, properties=sorted(section.inject))
    return ImageChanges(set_properties=dict(section.inject))
