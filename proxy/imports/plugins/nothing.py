"""The plugin that Glance has for those who want none."""

from proxy.imports.plugins.base import Subject
from upstream.registry import ImageChanges


async def do_nothing(_: Subject) -> ImageChanges:
    return ImageChanges()
