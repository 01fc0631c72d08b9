"""RBD images: opened for many threads, made, and removed. All of it blocks."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog

from upstream.errors import Conflict, Duplicate, Invalid, StoreFull, Unavailable
from upstream.stores.rbd.cluster import Cluster, Pool
from upstream.stores.rbd.uris import RbdTarget

log = structlog.get_logger()

SNAPSHOT = "snap"  # nova and cinder clone from it
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}")  # 96 is what the kernel's client takes


_QUIET_S = 0.1  # a call has returned before librbd's own threads are through with it: closed at once, they crash


class Opened:
    """An open image. It is closed by the last of those who use it, so that nobody finds it closed under a call."""

    def __init__(self, cluster: Cluster, pool: Pool, image: Any, *, quiet_s: float = _QUIET_S) -> None:
        """`quiet_s`: so long after the last call it is closed."""
        self._cluster, self._pool, self._image, self._quiet_s = cluster, pool, image, quiet_s
        self.fsid, self.ioctx = pool.fsid, pool.ioctx
        self._used_at = time.monotonic()
        self._state = threading.Condition()
        self._calls, self._is_closing, self._is_closed = 0, False, False

    @contextmanager
    def used(self, what: str) -> Iterator[Any]:
        """The image for one call, whose errors are translated."""
        with self._state:
            if self._is_closing:
                raise RuntimeError("used after it was closed")
            self._calls += 1
        try:
            with self._cluster.noting(what):
                yield self._image
        finally:
            with self._state:
                self._calls -= 1
                self._used_at = time.monotonic()
            self._close_if_idle()

    def close(self) -> None:
        with self._state:
            self._is_closing = True
        self._close_if_idle()

    def close_and_wait(self, bound_s: float) -> bool:
        """Whether nobody uses it any more."""
        self.close()
        with self._state:
            return self._state.wait_for(lambda: self._is_closed, bound_s)

    def _close_if_idle(self) -> None:
        with self._state:
            if not self._is_closing or self._calls or self._is_closed:
                return
            self._is_closed = True
        time.sleep(max(0.0, self._used_at + self._quiet_s - time.monotonic()))
        try:
            self._image.close()
        finally:
            self._pool.close()
            with self._state:
                self._state.notify_all()


def open_image(cluster: Cluster, target: RbdTarget, *, read_only: bool) -> Opened:
    """Raises DataNotFound, Denied, Invalid, Unavailable."""
    pool = cluster.pool(target.pool, target.fsid)
    try:
        with cluster.noting("open an image"):
            image = cluster.rbd.Image(pool.ioctx, target.image, snapshot=target.snapshot, read_only=read_only)
    except BaseException:
        pool.close()
        raise
    # What is open for writing cannot be deleted: who has read it to the end must not keep it from that.
    return Opened(cluster, pool, image, quiet_s=_QUIET_S if read_only else 0)


def create_image(cluster: Cluster, image_id: str, size_bytes: int) -> Opened:
    """A new image, open for writing. Raises Duplicate, Invalid, Denied, StoreFull, Unavailable."""
    if _NAME.fullmatch(image_id) is None:
        raise Invalid(f"not an image id: {image_id!r}")
    pool = cluster.pool()
    rbd, order = cluster.rbd, cluster.config.chunk_size.bit_length() - 1
    try:
        features = cluster.features(pool.client)
        cluster.ensure_trash(pool)
        with cluster.noting("create an image"):
            try:
                rbd.RBD().create(pool.ioctx, image_id, size_bytes, order, old_format=False, features=features)
            except rbd.ImageExists:
                raise Duplicate(f"{cluster.service} has data of {image_id} already") from None
            return Opened(cluster, pool, rbd.Image(pool.ioctx, image_id))
    except BaseException:
        pool.close()
        raise


def seal_image(opened: Opened, size_bytes: int) -> None:
    """The end of a write: no larger than its data, and never to change. Clones are made from the protected snapshot."""
    with opened.used("finish an image") as image:
        if image.size() != size_bytes:
            image.resize(size_bytes)
        image.create_snap(SNAPSHOT)
        image.protect_snap(SNAPSHOT)


def remove_image(cluster: Cluster, target: RbdTarget, alive: Callable[[], None]) -> None:
    """The snapshot and the image, or neither. `alive` is called as it goes on, since a large one takes minutes.

    What has clones of the newer form, which live on without its name, goes to the trash of the pool, as with Glance.
    Raises DataNotFound, Denied, Unavailable, Conflict while it is open elsewhere or has clones of the older form.
    """
    pool = cluster.pool(target.pool, target.fsid)
    try:
        try:
            cluster.ensure_trash(pool)
        except StoreFull as error:
            raise Unavailable(cluster.service, "it is full, and nothing was ever removed from its pool") from error
        with cluster.noting("remove an image"):
            had_snapshot = _remove_snapshot(cluster, pool, target)
            try:
                _remove(cluster, pool, target.image, alive)
            except cluster.rbd.ImageNotFound:
                raise
            except Exception:
                # Above all ImageBusy: somebody opened it a moment ago. Rows and clones count on the snapshot.
                if had_snapshot:
                    _restore_snapshot(cluster, pool, target)
                raise
    finally:
        pool.close()


def _remove(cluster: Cluster, pool: Pool, name: str, alive: Callable[[], None]) -> None:
    rbd = cluster.rbd

    def progress(_done: int, _all: int) -> int:
        alive()
        return 0  # go on

    try:
        rbd.RBD().remove(pool.ioctx, name, on_progress=progress)
    except rbd.ImageHasSnapshots:
        rbd.RBD().trash_move(pool.ioctx, name)
        log.info("store.moved_to_trash", store=cluster.service)


def _remove_snapshot(cluster: Cluster, pool: Pool, target: RbdTarget) -> bool:
    """Whether there was one. Nothing has changed if this raises."""
    rbd, name = cluster.rbd, target.snapshot
    with rbd.Image(pool.ioctx, target.image) as image:
        if len(list(image.watchers_list())) > 1:  # we are one
            raise Conflict(f"the image's data in {cluster.service} are open elsewhere")
        if name is None:
            return False
        try:
            image.unprotect_snap(name)
        except rbd.ImageNotFound:
            return False
        except rbd.InvalidArgument:
            pass  # it was not protected
        try:
            image.remove_snap(name)
        except Exception:
            with suppress(Exception):
                image.protect_snap(name)
            raise
    return True


def _restore_snapshot(cluster: Cluster, pool: Pool, target: RbdTarget) -> None:
    try:
        with cluster.rbd.Image(pool.ioctx, target.image) as image:
            image.create_snap(target.snapshot)
            image.protect_snap(target.snapshot)
    except Exception as error:  # noqa: BLE001 - the error that it came from is raised
        log.error("store.snapshot_lost", store=cluster.service, image=target.image, error=type(error).__name__)
