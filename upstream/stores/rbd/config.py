"""A store of kind rbd in `stores.backends`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import ByteSize, Field, field_validator

from upstream.stores.backend import BackendConfig

MIB = 1024 * 1024


class RbdStoreConfig(BackendConfig, frozen=True, extra="forbid"):
    """Images as RBD images of one pool of a Ceph cluster, named by image id."""

    refuses_while_used: ClassVar[bool] = True

    kind: Literal["rbd"]
    pool: str = Field(default="images", min_length=1)
    user: str | None = None  # without "client."; None: admin, as librados has it
    ceph_conf: Path | None = None  # None: where librados looks, /etc/ceph/ceph.conf first
    fsid: str | None = None  # of the cluster. None: any
    chunk_size: ByteSize = Field(default=ByteSize(8 * MIB), ge=4096, le=32 * MIB)
    thin_provisioning: bool = False
    connect_s: int = Field(default=10, ge=1)  # librados counts whole seconds
    mon_s: int = Field(default=10, ge=1)
    osd_s: int = Field(default=20, ge=1)
    threads_max: int = Field(default=16, ge=2)

    @field_validator("chunk_size")
    @classmethod
    def _is_a_power_of_two(cls, size: ByteSize) -> ByteSize:
        if size.bit_count() != 1:
            raise ValueError(f"expected a power of two between 4 KiB and 32 MiB, got {size} bytes")
        return size

    @property
    def call_s(self) -> float:
        """Longer than any one call takes whose time-outs of librados work: it may connect, and ask twice."""
        return self.connect_s + self.mon_s + 2 * self.osd_s

    def own_prefixes(self) -> tuple[str, ...]:
        if self.fsid is None:
            return ("rbd://",)
        return (f"rbd://{quote(self.fsid, safe='')}/{quote(self.pool, safe='')}/",)

    def further_prefixes(self) -> tuple[str, ...]:
        """Of images in other pools, and of the oldest rows, which name neither cluster nor pool."""
        return ("rbd://",)

    def properties(self) -> Mapping[str, Any]:
        return {
            "chunk_size": int(self.chunk_size),
            "pool": self.pool,
            "thin_provisioning": self.thin_provisioning,
            "fsid": self.fsid,
        }
