"""What is done to an import's data, or to its image, between staging and stores: `api.import_plugins`, in that order.

Source: glance/async_/flows/plugins.
"""

from collections.abc import Mapping
from types import MappingProxyType

from proxy.imports.plugins.base import Plugin, Subject
from proxy.imports.plugins.conversion import convert
from proxy.imports.plugins.decompression import decompress
from proxy.imports.plugins.injection import inject
from proxy.imports.plugins.nothing import do_nothing
from proxy.imports.plugins.qemu import ProgramMissing, check_programs

PLUGINS: Mapping[str, Plugin] = MappingProxyType(
    {
        "no_op": do_nothing,
        "inject_image_metadata": inject,
        "image_decompression": decompress,
        "image_conversion": convert,
    }
)

__all__ = ["PLUGINS", "Plugin", "ProgramMissing", "Subject", "check_programs"]
