"""A real Glance, deployed as operators do: uWSGI behind nginx, Keystone, memcached and MariaDB beside it."""

import http.client
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.environments import ensure_environment
from tests.peers.identity_api import LIMITS, PASSWORD, REGION
from tests.peers.keystone import Keystone
from tests.peers.mariadb import MariaDB, mariadb_version
from tests.peers.memcached import Memcached
from tests.peers.nginx import ProxyNginx
from tests.peers.ports import free_port
from tests.peers.server import Server, ServerFailed
from tests.peers.templates import copy, ensure_template, sources

LIMIT_DEFAULT = 1_000_000

AUTH = """\
auth_url = {keystone}
auth_type = password
username = glance
password = {password}
user_domain_name = Default
"""

# Lists need their brackets where they stand: without them every create fails with 500.
CONFIG = """\
[DEFAULT]
image_cache_dir = {directory}/cache
image_cache_driver = centralized_db
image_cache_max_size = 107374182400
worker_self_reference_url = {url}
enabled_import_methods = [glance-direct,web-download,copy-image,glance-download]
enabled_backends = file:file,second:file,web:http
node_staging_uri = file://{directory}/staging
show_multiple_locations = {full}
use_keystone_limits = {limited}
do_secure_hash = {secure_hash}
[image_format]
require_image_format_match = {strict}
[cors]
allowed_origin = http://dashboard.example.org
[import_filtering_opts]
allowed_hosts = [127.0.0.1]
allowed_ports = []
[os_glance_staging_store]
filesystem_store_datadir = {directory}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {directory}/tasks
[database]
connection = {database}
max_pool_size = 20
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = {directory}/images
weight = 100
[second]
filesystem_store_datadir = {directory}/images2
[web]
[keystone_authtoken]
www_authenticate_uri = {keystone}
{auth}project_name = service
project_domain_name = Default
memcached_servers = {memcached}
service_token_roles_required = true
[oslo_limit]
{auth}system_scope = all
endpoint_service_name = glance
endpoint_region_name = {region}
[paste_deploy]
flavor = {flavor}
config_file = {etc}/glance-api-paste.ini
[wsgi]
task_pool_threads = 4
python_interpreter = {python}
[oslo_policy]
enforce_scope = true
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GlanceOptions:
    """`full`: what is off by default (old location API, unified limits, any format). `metadefs`: its catalogue."""

    full: bool = False
    image_cache: bool = True
    secure_hash: bool = True
    metadefs: bool = False
    limits: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, LIMIT_DEFAULT))
    """Registered with Keystone where `unified_limits` count, which `full` includes."""
    unified_limits: bool = False
    processes: int = 1
    threads: int = 8
    settings: str = ""
    """More of glance-api.conf, whose values win over the usual ones."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name to content of what Glance finds beside its configuration, such as policy.yaml."""


class Glance(Server):
    """A Glance with two file stores and an http store. Its own process is uWSGI; `close` ends nginx and database too.

    With a `database_url` (of SQLAlchemy) that database is used, and left alone by `start` and `close`.
    `url` is nginx, `bare_url` uWSGI itself. It leaves Keystone's catalogue alone: use `Keystone.set_image_endpoint`, or
    clients with `openrc(..., image_url=)`. Not so with unified limits, as they belong to a service of the catalogue.
    """

    def __init__(
        self,
        directory: Path,
        keystone: Keystone,
        memcached: Memcached,
        *,
        options: GlanceOptions | None = None,
        database_url: str | None = None,
    ) -> None:
        super().__init__("glance", directory, stop_s=3)
        self.options = options or GlanceOptions()
        self.keystone, self.memcached = keystone, memcached
        self.port = free_port()
        self.bare_url = f"http://127.0.0.1:{self.port}"
        self.database = MariaDB(directory / "db", database="glance", charset="utf8mb3")
        self._database_url = database_url
        # uWSGI's own router hangs on uploads, and uwsgi_pass breaks chunked ones: nginx speaks HTTP to it.
        self.front = ProxyNginx(directory / "nginx", self.bare_url)
        self.url = self.front.url
        self.image_dirs = (directory / "images", directory / "images2")
        self._config = directory / "glance-api.conf"

    def start(self) -> None:
        with self._lock:
            if self._database_url is None and not self.database.is_running:
                self.database.copied_from = ensure_glance(metadefs=self.options.metadefs) / "data"
                self.database.start()
            super().start()
            if not self.front.is_running:
                self.front.start()
            if self.options.full or self.options.unified_limits:
                service = self.keystone.api.set_endpoint("glance", "image", self.url)
                self.keystone.api.register_limits(service, self.options.limits)

    def close(self) -> None:
        with self._lock:
            self.front.close()
            self.stop()
            self.database.close()

    @property
    def _home(self) -> Path:
        return ensure_environment("glance")

    def _prepare(self) -> None:
        for directory in (*self.image_dirs, *(self.directory / name for name in ("cache", "staging", "tasks"))):
            directory.mkdir(exist_ok=True)
        self._config.write_text(self._settings() + self.options.settings)
        for name, content in self.options.files.items():
            (self.directory / name).write_text(content)
        made = self.directory / "made"
        if not made.exists():
            if self._database_url is not None:
                make_tables(self._config, self.log_path, metadefs=self.options.metadefs)
            made.touch()

    def _settings(self) -> str:
        full, options = self.options.full, self.options
        return CONFIG.format(
            directory=self.directory,
            url=self.url,
            full=full,
            strict=not full,
            secure_hash=options.secure_hash,
            limited=full or options.unified_limits,
            database=self._database_url or self.database.url,
            keystone=self.keystone.url,
            auth=AUTH.format(keystone=self.keystone.url, password=PASSWORD),
            memcached=self.memcached.address,
            region=REGION,
            flavor="keystone+cachemanagement" if options.image_cache else "keystone",
            etc=self._home / "etc" / "glance",
            python=self._home / "bin" / "python",  # or else uWSGI would be asked to run modules
        )

    def _command(self) -> Sequence[str | Path]:
        return [
            self._home / "bin" / "uwsgi",
            f"--http-socket=127.0.0.1:{self.port}",
            "--http-chunked-input",
            "--http-auto-chunked",
            "--socket-timeout=60",
            "--add-header=Connection: close",
            "--master",
            f"--processes={self.options.processes}",
            f"--threads={self.options.threads}",
            "--enable-threads",
            "--lazy-apps",
            "--need-app",
            "--no-orphans",
            "--module=glance.wsgi.api:application",
            "--buffer-size=65535",
            "--die-on-term",
            "--disable-logging",
        ]

    def _environment(self) -> Mapping[str, str]:
        config = {"OS_GLANCE_CONFIG_DIR": str(self.directory), "OS_GLANCE_CONFIG_FILES": str(self._config)}
        return config | {"PYTHONWARNINGS": "ignore"}

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/versions")
            return b'"versions"' in connection.getresponse().read()
        except http.client.HTTPException:
            return False
        finally:
            connection.close()


def make_tables(config: Path, log_path: Path, *, metadefs: bool) -> None:
    """As an operator does. Raises ServerFailed."""
    home = ensure_environment("glance")
    steps: list[list[str | Path]] = [["db_sync"]]
    if metadefs:
        steps.append(["db_load_metadefs", home / "etc" / "glance" / "metadefs"])
    for step in steps:
        command: list[str | Path] = [home / "bin" / "glance-manage", "--config-file", config, *step]
        with log_path.open("ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, check=False, timeout=120)
        if done.returncode != 0:
            raise ServerFailed("glance", f"could not make its tables ({step[0]})", log_path)


def ensure_glance(*, metadefs: bool) -> Path:
    """A MariaDB's data with the tables of `glance`, in its `data`."""

    def make(home: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="glint-glance-") as name:
            folder = Path(name)
            with MariaDB(folder / "db", database="glance", charset="utf8mb3") as database:
                config = folder / "glance.conf"
                config.write_text(f"[database]\nconnection = {database.url}\n")
                make_tables(config, folder / "log", metadefs=metadefs)
                database.stop_in_order()
                copy(database.directory / "data", home / "data")

    made_of = ensure_environment("glance").name.encode() + mariadb_version() + sources(__file__)
    return ensure_template("glance-metadefs" if metadefs else "glance-data", made_of, make)
