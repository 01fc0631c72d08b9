"""A real Keystone on a private MariaDB, with users to log in as."""

import base64
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.peers.environments import ensure_environment
from tests.peers.identity_api import PASSWORD, REGION, USERS, IdentityApi, IdentityFailed
from tests.peers.mariadb import MariaDB, mariadb_version
from tests.peers.ports import free_port
from tests.peers.server import Server
from tests.peers.templates import copy, ensure_template, sources

# Hashing passwords cheaply changes nothing but the time that a token takes.
CONFIG = """\
[database]
connection = {database}
max_pool_size = 20
[token]
provider = fernet
expiration = {expiration_s}
[fernet_tokens]
key_repository = {directory}/fernet
[fernet_receipts]
key_repository = {directory}/fernet
[credential]
key_repository = {directory}/credential
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory
"""


class Keystone(Server):
    """A Keystone with Fernet tokens and the projects, roles and users of `USERS`, all with the password `secret`.

    `stop` and `start` leave its database running: tokens stay valid over a restart. `close` ends both.
    MariaDB, as on SQLite Keystone answers 500 once two clients write at the same time.
    """

    def __init__(self, directory: Path, *, token_expiration_s: int = 3600) -> None:
        super().__init__("keystone", directory)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v3"
        self.api = IdentityApi(self.port)
        self.database = MariaDB(directory / "db", database="keystone", charset="utf8mb3")
        self._token_expiration_s = token_expiration_s
        self._access_log = directory / "access.log"
        self._seeded = directory / "seeded"
        self._is_template = False

    def start(self) -> None:
        with self._lock:
            if not self._seeded.exists() and not self._is_template:
                self.database.copied_from = ensure_keystone() / "data"
            if not self.database.is_running:
                self.database.start()
            if self.database.copied_from is not None and not self._seeded.exists():
                self.database.query(f"update endpoint set url = '{self.url}'")  # there is none but its own
                self._seeded.touch()
            super().start()
            if not self._seeded.exists():
                self.api.seed()
                self._seeded.touch()

    @classmethod
    def make_template(cls, home: Path) -> None:
        """All that a start makes, in `data`; but for the keys, which each makes for itself."""
        with tempfile.TemporaryDirectory(prefix="glint-keystone-") as folder:
            keystone = cls(Path(folder))
            keystone._is_template = True
            with keystone:
                keystone.stop()
                keystone.database.stop_in_order()
                copy(keystone.database.directory / "data", home / "data")

    def close(self) -> None:
        with self._lock:
            self.stop()
            self.database.close()

    def token(self, user: str, project: str | None = None, password: str = PASSWORD) -> str:
        """A new token, scoped to the user's own project if none is named. Raises IdentityFailed."""
        return self.api.token(user, project or USERS[user][0], password)

    def revoke(self, token: str) -> None:
        self.api.call("DELETE", "/auth/tokens", token=token, headers={"X-Subject-Token": token})

    def is_valid(self, token: str) -> bool:
        """Asked as a service asks; counts as a validation."""
        try:
            self.api.call("GET", "/auth/tokens", token=self.token("glance"), headers={"X-Subject-Token": token})
        except IdentityFailed as error:
            if error.status == 404:
                return False
            raise
        return True

    def project_id(self, name: str) -> str:
        return self.api.ids("projects", self.token("admin"), name=name)[name]

    def user_id(self, name: str) -> str:
        return self.api.ids("users", self.token("admin"), name=name)[name]

    def openrc(self, user: str, project: str | None = None, *, image_url: str | None = None) -> dict[str, str]:
        """The environment in which the real clients log in as `user`, and go to `image_url` past the catalogue."""
        override = {} if image_url is None else {"OS_IMAGE_URL": image_url, "OS_IMAGE_ENDPOINT_OVERRIDE": image_url}
        return override | {
            "OS_AUTH_URL": self.url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_IMAGE_API_VERSION": "2",
            "OS_REGION_NAME": REGION,
            "OS_USERNAME": user,
            "OS_PASSWORD": PASSWORD,
            "OS_PROJECT_NAME": project or USERS[user][0],
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
        }

    def set_image_endpoint(self, url: str) -> None:
        """Where clients find the image service, without the version: `http://127.0.0.1:9292`. May be changed later."""
        self.api.set_endpoint("glance", "image", url)

    def requests(self) -> list[str]:
        """All requests answered since the first start, as `GET /v3/auth/tokens 200`."""
        return self._access_log.read_text().splitlines() if self._access_log.exists() else []

    def validations(self) -> int:
        """How often a service asked about a token."""
        return sum(line.startswith(("GET /v3/auth/tokens ", "HEAD /v3/auth/tokens ")) for line in self.requests())

    def _prepare(self) -> None:
        for name in ("fernet", "credential"):
            self._make_keys(self.directory / name)
        config = CONFIG.format(
            database=self.database.url.replace("%", "%%"),
            directory=self.directory,
            expiration_s=self._token_expiration_s,
        )
        (self.directory / "keystone.conf").write_text(config)

    @staticmethod
    def _make_keys(repository: Path) -> None:
        """Key 0 is the next one, the highest is in use: what `keystone-manage fernet_setup` leaves."""
        if not repository.exists():
            repository.mkdir(mode=0o700)
            for name in ("0", "1"):
                (repository / name).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
                (repository / name).chmod(0o600)

    def _command(self) -> Sequence[str | Path]:
        program = Path(__file__).with_name("keystone_process.py")
        python = ensure_environment("keystone") / "bin" / "python"
        prepare = [] if self._seeded.exists() else ["prepare"]
        # Isolated, or the modules beside the program would stand before those of Keystone's environment.
        python_options = ["-I", "-W", "ignore"]
        config = self.directory / "keystone.conf"
        return [python, *python_options, program, config, str(self.port), self._access_log, *prepare]

    def _environment(self) -> Mapping[str, str]:
        return {"OS_KEYSTONE_CONFIG_FILES": str(self.directory / "keystone.conf")}

    def _answers(self) -> bool:
        try:
            return bool(self.api.call("GET", "/")[1]["version"])
        except IdentityFailed:
            return False


def ensure_keystone() -> Path:
    """A database with the tables, and all that is in `USERS`."""
    beside = Path(__file__)
    made_by = sources(__file__, *(str(beside.with_name(f"{name}.py")) for name in ("keystone_process", "identity_api")))
    made_of = ensure_environment("keystone").name.encode() + mariadb_version() + made_by
    return ensure_template("keystone-data", made_of, Keystone.make_template)
