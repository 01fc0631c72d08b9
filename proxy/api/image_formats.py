"""What format image data really have, found while they pass. Runs in threads; no I/O.

An image that says qcow2 and is something else, or that points at files of the host, is refused before it is kept.
Source: glance/location.py, ImageProxy.set_data.
"""

import io

from oslo_utils.imageutils import format_inspector as oslo

from proxy.api.config import ApiConfig
from proxy.errors import UnsupportedMediaType

_INSPECTED_CONTAINER = "bare"
_KERNEL_FORMATS = frozenset({"aki", "ari"})


class _Feed(io.BytesIO):
    """What the inspector reads from: one chunk at a time, put in just before."""

    chunk = b""

    def read(self, size: int | None = -1, /) -> bytes:
        return self.chunk


class FormatInspection:
    """Eats all data of one image in order, from one thread at a time; then says what they are."""

    def __init__(self, *, disk_format: str | None, container_format: str | None, config: ApiConfig) -> None:
        self._disk_format, self._config = disk_format, config
        self._feed = _Feed()
        # Data in other containers are not a disk, so there is nothing to look for.
        is_inspected = container_format == _INSPECTED_CONTAINER
        self._inspector = oslo.InspectWrapper(self._feed) if is_inspected else None

    def eat(self, chunk: bytes) -> None:
        if self._inspector is not None:
            self._feed.chunk = chunk
            self._inspector.read(len(chunk))

    def finish(self) -> int | None:
        """The size of the disk in bytes, None if the format does not tell.

        Raises UnsupportedMediaType if the data are not what the image says, or not safe to hand out.
        """
        if self._inspector is None:
            return None
        self._inspector.close()
        try:
            return self._judge() or None
        except oslo.ImageFormatError as error:
            if self._config.require_image_format_match:
                raise UnsupportedMediaType(str(error)) from error
            return None

    @property
    def is_decided(self) -> bool:
        """Whether more data would change nothing of what `identify` says."""
        return self._inspector is None or self._inspector.formats is not None

    def identify(self) -> str:
        """The format the data have, whatever the image says; in the place of `finish`. Raises UnsupportedMediaType."""
        assert self._inspector is not None
        self._inspector.close()
        try:
            found = self._found()
        except oslo.ImageFormatError as error:
            raise UnsupportedMediaType(str(error)) from error
        self._check_safety(found)
        return str(found)

    def _judge(self) -> int:
        found = self._found()
        name = str(found)
        virtual_size = 0
        if name == self._disk_format:
            virtual_size = found.virtual_size
        elif self._disk_format == "raw":
            virtual_size = found.actual_size
        elif name != "raw" or self._disk_format in oslo.ALL_FORMATS:
            raise oslo.ImageFormatError(f"Image disk_format {self._disk_format} does not match stream data {name}")
        self._check_safety(found)
        return virtual_size

    def _found(self) -> oslo.FileInspector:
        assert self._inspector is not None
        matches = {str(match): match for match in self._inspector.formats or ()}
        if matches.keys() == {"iso", "gpt"}:  # a bootable ISO may have a GPT in front
            return matches["iso"]
        found = self._inspector.format
        assert found is not None
        return found

    def _check_safety(self, found: oslo.FileInspector) -> None:
        try:
            found.safety_check()
        except oslo.SafetyCheckFailed as error:
            harmless = set(self._config.gpt_safety_checks_nonfatal)
            if self._disk_format in _KERNEL_FORMATS:  # a kernel may look like a broken boot record
                harmless.add("mbr")
            fatal = sorted(set(error.failures) - harmless)
            if found.NAME != "gpt" or fatal:
                raise UnsupportedMediaType(f"Image failed safety checks: {', '.join(error.failures)}") from error
        if isinstance(found, oslo.VMDKInspector):
            allowed = {kind.lower() for kind in self._config.vmdk_allowed_types}
            if found.vmdktype not in allowed:
                raise UnsupportedMediaType(
                    f"Image failed safety checks: the VMDK subformat {found.vmdktype} is refused"
                )
