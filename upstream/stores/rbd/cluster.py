"""One connection to a Ceph, kept by a process and opened anew when it broke. All of it blocks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from upstream.errors import Denied, Invalid, Unavailable
from upstream.stores.rbd.bindings import load_bindings
from upstream.stores.rbd.config import RbdStoreConfig
from upstream.stores.rbd.failures import BROKEN, errno_of, translated

log = structlog.get_logger()

_TRASH = "rbd_trash"  # by librbd's own name


class Connection:
    """Shut down when it is retired and nobody uses it any more: what still runs in it would crash the process."""

    def __init__(self, client: Any) -> None:
        self.client, self.fsid = client, str(client.get_fsid())
        self._lock, self._users, self._is_retired = threading.Lock(), 0, False

    def hold(self) -> None:
        with self._lock:
            self._users += 1

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            is_last = self._is_retired and self._users == 0
        if is_last:
            self.client.shutdown()

    def retire(self) -> None:
        with self._lock:
            is_idle = not self._is_retired and self._users == 0
            self._is_retired = True
        if is_idle:
            self.client.shutdown()


class Pool:
    """A pool in a connection that is held for it, and let go when it is closed or cannot be opened."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.fsid, self.client, self._connection = connection.fsid, connection.client, connection
        self.name = name
        try:
            self.ioctx: Any = connection.client.open_ioctx(name)
            # Else librados holds back what is written to a full cluster until there is room, or the time is over.
            self.ioctx.set_osdmap_full_try()
        except BaseException:
            connection.release()
            raise

    def close(self) -> None:
        self.ioctx.close()
        self._connection.release()


class Cluster:
    """Opened when it is first asked, so that a Ceph which is down keeps nobody from starting. For many threads.

    Raises BindingsMissing when it is made.
    """

    def __init__(self, service: str, config: RbdStoreConfig) -> None:
        self.service, self.config = service, config
        self.rados, self.rbd = load_bindings()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._is_closed = False
        self._with_trash: set[tuple[str, str]] = set()

    def pool(self, name: str | None = None, fsid: str | None = None) -> Pool:
        """By default the store's own. Raises Invalid if the cluster is not `fsid`, Denied, Unavailable."""
        with translated(self.service, "be connected to"):
            connection = self._held()
        if fsid not in {None, connection.fsid}:
            connection.release()
            raise Invalid(f"the image lies in the Ceph cluster {fsid}, and {self.service} is {connection.fsid}")
        try:
            return Pool(connection, name or self.config.pool)
        except self.rados.ObjectNotFound:
            raise Invalid(f"{self.service} has no pool {name or self.config.pool}") from None
        except self.rados.Error as error:
            self.note(error)
            with translated(self.service, "open the pool"):
                raise

    def ensure_trash(self, pool: Pool) -> None:
        """Make the object through which librbd removes images: into a full pool it cannot be put any more.

        Without it librbd says of an image that it is not there. Raises StoreFull, Denied, Unavailable.
        """
        if (pool.fsid, pool.name) in self._with_trash:
            return
        with self.noting("make room for a trash"), self.rados.WriteOpCtx() as operation:
            operation.new(self.rados.LIBRADOS_CREATE_IDEMPOTENT)
            pool.ioctx.operate_write_op(operation, _TRASH)
        self._with_trash.add((pool.fsid, pool.name))

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """As `translated`; and a connection that proves to be broken is given up."""
        with translated(self.service, what):
            try:
                yield
            except Exception as error:
                self.note(error)
                raise

    def note(self, error: BaseException) -> None:
        if errno_of(error) not in BROKEN:
            return  # time-outs among them: librados finds its way back by itself
        with self._lock:
            broken, self._connection = self._connection, None
        if broken is not None:
            log.warning("store.connection_broken", store=self.service, error=type(error).__name__)
            broken.retire()

    def features(self, client: Any) -> int:
        """Of new images, as Glance chooses them: those that are the cluster's default, if it says which."""
        try:
            return int(client.conf_get("rbd_default_features") or 0) or int(self.rbd.RBD_FEATURE_LAYERING)
        except ValueError:
            return int(self.rbd.RBD_FEATURE_LAYERING)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.retire()

    def _held(self) -> Connection:
        """The connection, not shut down before it is released: another thread may find it broken at any time."""
        with self._lock:  # who comes while it is being opened waits for it, not longer than that takes
            if self._is_closed:
                raise Unavailable(self.service, "it is closed")
            if self._connection is None:
                self._connection = self._open()
            self._connection.hold()
            return self._connection

    def _open(self) -> Connection:
        config = self.config
        client = self.rados.Rados(conffile=str(config.ceph_conf or ""), rados_id=config.user)
        settings = {
            # `connect(timeout=)` does nothing, and without these each call may block for ever.
            "client_mount_timeout": config.connect_s,
            "rados_mon_op_timeout": config.mon_s,
            "rados_osd_op_timeout": config.osd_s,
            # A write is there when it returns, and no image takes memory that nobody bounds.
            "rbd_cache": "false",
        }
        for name, value in settings.items():
            client.conf_set(name, str(value))
        try:
            client.connect()
            connection = Connection(client)
        except BaseException:
            client.shutdown()
            raise
        if config.fsid not in {None, connection.fsid}:
            client.shutdown()
            raise Denied(f"{self.service} is the cluster {connection.fsid}, and stores.*.fsid says {config.fsid}")
        return connection
