"""Reading an image that others may remove meanwhile. All of it blocks; many threads may read one image at once.

Ceph does not keep a snapshot for those who only read it, and gives zeros where the data are gone. Since a snapshot goes
before its data, data are the image's if the snapshot was still there after they had been read; and it is asked for only
where a whole object reads as zeros, or where something else than zeros could take its place.
"""

import struct
import threading
import time
from typing import Any

from upstream.errors import Unavailable, WrongLength
from upstream.stores.rbd.cluster import Cluster
from upstream.stores.rbd.images import Opened, open_image
from upstream.stores.rbd.uris import RbdTarget

# What librados and malloc's arenas keep of each read is a multiple of it: with 8 MiB, one stream took 290 MiB.
READ_BYTES = 2 * 1024 * 1024
_ZEROS = bytes(READ_BYTES)
_SNAPSHOTS_HEAD = struct.Struct("<QI")
_SNAPSHOTS_BYTES = 64 * 1024  # 8,000 of them


class Reading:
    """An image or a snapshot, open for reading. `identity` tells it from another of the same name."""

    def __init__(self, cluster: Cluster, target: RbdTarget) -> None:
        """Raises DataNotFound, Denied, Invalid, Unavailable."""
        self._cluster, self._target = cluster, target
        # What has no snapshot is held by being open for writing: then it cannot be removed, by Glance either.
        self._opened = open_image(cluster, target, read_only=target.snapshot is not None)
        self._lock, self._proved_at = threading.Lock(), 0.0
        try:
            with self._opened.used("open an image") as image:
                self.size_bytes = int(image.size())
                self._object_bytes = int(image.stat()["obj_size"])
                self._is_plain = image.stripe_count() == 1 and not _has_parent(cluster, image)
            self.identity = _identity(self._opened, target)
        except BaseException:
            self._opened.close()
            raise

    def read(self, at: int, stop: int) -> bytes:
        """All bytes up to `stop`, at most READ_BYTES. Raises Denied, Unavailable, WrongLength."""
        with self._opened.used("read an image") as image:
            data = bytes(image.read(at, stop - at))
        if len(data) != stop - at:
            raise WrongLength(self.size_bytes, at + len(data))
        if self._target.snapshot is not None and not (self._is_plain and self._is_in_all_objects(data, at)):
            self._prove()
        return data

    def close(self) -> None:
        self._opened.close()

    def _is_in_all_objects(self, data: bytes, at: int) -> bool:
        begin = 0
        while begin < len(data):
            end = min(len(data), begin + self._object_bytes - (at + begin) % self._object_bytes)
            if not data[begin] and data.startswith(
                _ZEROS if end - begin == READ_BYTES else _ZEROS[: end - begin], begin
            ):
                return False
            begin = end
        return True

    def _prove(self) -> None:
        """Raises Unavailable if the image was removed or replaced. One question answers for all who read before it."""
        read_at = time.monotonic()
        with self._lock:
            if self._proved_at > read_at:
                return
            began = time.monotonic()
            if not self._has_snapshot():
                raise Unavailable(self._cluster.service, "the image was removed while it was read")
            self._proved_at = began

    def _has_snapshot(self) -> bool:
        """Asked of the header that the data belong to, by the image's own id: to open the image again costs far more.

        Source: ceph, src/cls/rbd/cls_rbd.cc, get_snapcontext: the newest snapshot, how many there are, and each.
        """
        image_id, snapshot_id = self.identity
        with self._opened.used("read an image"):
            try:
                _, said = self._opened.ioctx.execute(
                    f"rbd_header.{image_id}", "rbd", "get_snapcontext", b"", _SNAPSHOTS_BYTES
                )
            except self._cluster.rados.ObjectNotFound:
                return False
        _, count = _SNAPSHOTS_HEAD.unpack_from(said)
        return snapshot_id in struct.unpack_from(f"<{count}Q", said, _SNAPSHOTS_HEAD.size)


def _identity(opened: Opened, target: RbdTarget) -> tuple[str, int | None]:
    with opened.used("open an image") as image:
        return str(image.id()), None if target.snapshot is None else int(image.snap_get_id(target.snapshot))


def _has_parent(cluster: Cluster, image: Any) -> bool:
    try:
        image.parent_info()
    except cluster.rbd.ImageNotFound:
        return False
    return True
