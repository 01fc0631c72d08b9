"""A store of kind file in `stores.backends`."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import BaseModel, ByteSize, Field, field_validator, model_validator

from upstream.stores.backend import BackendConfig
from upstream.stores.locations import file_url

READ_BYTES = 1024 * 1024
_OWNER_READS = 0o400
_OWNER_ENTERS_AND_WRITES = 0o700


class FolderConfig(BaseModel, frozen=True, extra="forbid"):
    """One of several folders. New images go where the priority is highest, among equal ones where most room is."""

    path: Path
    priority: int = 0


class FileStoreConfig(BackendConfig, frozen=True, extra="forbid"):
    """Images as files of one folder or several, named by image id."""

    kind: Literal["file"]
    dir: Path | None = Path("var/images")
    dirs: tuple[FolderConfig, ...] = ()  # in place of `dir`, which is None then
    free_min: ByteSize = Field(default=ByteSize(0), ge=0)  # always left free in each folder
    file_mode: int | None = Field(default=None, ge=0, le=0o777)  # None: by the process's umask
    dir_mode: int | None = Field(default=None, ge=0, le=0o7777)  # of folders that are made; None: by the umask
    thin_provisioning: bool = False  # stretches of zeros stay holes of the file
    metadata_file: Path | None = None  # Glance's: what clients are told of the place of a new image
    threads_max: int = Field(default=16, ge=1)  # blocking reads and writes at once

    @model_validator(mode="before")
    @classmethod
    def _either(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not given.get("dirs"):
            return given
        if given.get("dir") is not None:
            raise ValueError("expected dir or dirs, got both")
        return {**given, "dir": None}

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if self.dir is None and not self.dirs:
            raise ValueError("expected dir or dirs, got neither")
        return self

    @field_validator("file_mode")
    @classmethod
    def _readable(cls, mode: int | None) -> int | None:
        if mode is not None and not mode & _OWNER_READS:
            raise ValueError(f"expected a mode by which the owner may read, such as 0640, got 0{mode:o}")
        return mode

    @field_validator("dir_mode")
    @classmethod
    def _usable(cls, mode: int | None) -> int | None:
        if mode is not None and mode & _OWNER_ENTERS_AND_WRITES != _OWNER_ENTERS_AND_WRITES:
            raise ValueError(f"expected a mode that leaves all to the owner, such as 0750, got 0{mode:o}")
        return mode

    @property
    def folders(self) -> tuple[FolderConfig, ...]:
        return self.dirs if self.dir is None else (FolderConfig(path=self.dir),)

    def own_prefixes(self) -> tuple[str, ...]:
        return tuple(f"{file_url(PurePosixPath(folder.path.absolute()), '')}/" for folder in self.folders)

    def further_prefixes(self) -> tuple[str, ...]:
        """Of files whose folder was moved."""
        return ("file://",)

    def properties(self) -> Mapping[str, Any]:
        """Of several folders the one that is filled first: Glance's answer has room for one."""
        first = max(self.folders, key=lambda folder: folder.priority)
        return {
            "data_dir": str(first.path),
            "chunk_size": READ_BYTES,
            "thin_provisioning": self.thin_provisioning,
        }
