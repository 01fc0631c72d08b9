"""Ceph's Python bindings. They come with the distribution, in the version of the cluster's libraries, not from PyPI."""

from importlib import import_module
from typing import Any

from upstream.errors import UpstreamError

_REMEDY = (
    "install the Debian packages python3-rados and python3-rbd, and let Glint's own environment see them: link "
    "rados.*.so and rbd.*.so from /usr/lib/python3/dist-packages into its site-packages"
)


class BindingsMissing(UpstreamError):
    """Images in a Ceph cannot be reached: the modules are not there, or not for this version of Python."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"a store of kind rbd needs Ceph's bindings ({reason}): {_REMEDY}")


def load_bindings() -> tuple[Any, Any]:
    """The modules `rados` and `rbd`. Raises BindingsMissing."""
    try:
        return import_module("rados"), import_module("rbd")
    except ImportError as error:
        raise BindingsMissing(str(error)) from error
