"""Real servers and real clients, for tests and benches."""

from tests.peers.ceph import Ceph
from tests.peers.clients import ClientFailed, Clients, Finished
from tests.peers.debian import PackagesMissing
from tests.peers.environments import InstallFailed, ensure_environment
from tests.peers.glance import Glance, GlanceOptions
from tests.peers.identity_api import PASSWORD, USERS, IdentityFailed
from tests.peers.keystone import Keystone
from tests.peers.mariadb import MariaDB
from tests.peers.memcached import Memcached
from tests.peers.nginx import CachingNginx, ProxyNginx, StaticNginx, Tuning
from tests.peers.ports import free_port
from tests.peers.postgresql import PostgreSQL
from tests.peers.rgw import Rgw
from tests.peers.server import Server, ServerFailed
from tests.peers.swift import Swift, SwiftOptions
from tests.peers.swift_api import SwiftFailed
from tests.peers.varnish import Varnish

__all__ = [
    "PASSWORD",
    "USERS",
    "CachingNginx",
    "Ceph",
    "ClientFailed",
    "Clients",
    "Finished",
    "Glance",
    "GlanceOptions",
    "IdentityFailed",
    "InstallFailed",
    "Keystone",
    "MariaDB",
    "Memcached",
    "PackagesMissing",
    "PostgreSQL",
    "ProxyNginx",
    "Rgw",
    "Server",
    "ServerFailed",
    "StaticNginx",
    "Swift",
    "SwiftFailed",
    "SwiftOptions",
    "Tuning",
    "Varnish",
    "ensure_environment",
    "free_port",
]
