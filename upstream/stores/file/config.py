"""A store of kind file in `stores.backends`."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field

from upstream.stores.backend import BackendConfig
from upstream.stores.locations import file_url

READ_BYTES = 1024 * 1024


class FileStoreConfig(BackendConfig, frozen=True, extra="forbid"):
    """Images as files of one folder, named by image id."""

    kind: Literal["file"]
    dir: Path = Path("var/images")
    file_mode: int | None = Field(default=None, ge=0, le=0o777)  # None: by the process's umask
    threads_max: int = Field(default=16, ge=1)  # blocking reads and writes at once

    def own_prefixes(self) -> tuple[str, ...]:
        folder = file_url(PurePosixPath(self.dir.absolute()), "")
        return (f"{folder}/",)

    def further_prefixes(self) -> tuple[str, ...]:
        """Of files whose folder was moved."""
        return ("file://",)

    def properties(self) -> Mapping[str, Any]:
        return {"data_dir": str(self.dir), "chunk_size": READ_BYTES, "thin_provisioning": False}
