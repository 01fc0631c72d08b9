"""The few calls of the Identity API v3 that set up a Keystone for tests."""

import http.client
import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

PASSWORD = "secret"
REGION = "RegionOne"
DOMAIN = "default"
INTERFACES = ("public", "internal", "admin")
# user: (project, roles in it); the bootstrap made admin, who is not created again
USERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "admin": ("admin", ("admin",)),
    "demo": ("demo", ("member", "reader")),
    "alt": ("alt", ("member", "reader")),
    "viewer": ("demo", ("reader",)),
    "glance": ("service", ("admin", "service")),
    "nova": ("service", ("admin", "service")),
    "service": ("service", ("service",)),
}
DOMAIN_ROLES: Mapping[str, tuple[str, ...]] = {"demo": ("member", "reader")}  # beside those in the project
LIMITS = ("image_size_total", "image_stage_total", "image_count_total", "image_count_uploading")


class IdentityFailed(Exception):
    """Keystone refused a call of the set-up or of a test."""

    def __init__(self, method: str, path: str, status: int, answer: str) -> None:
        super().__init__(f"{method} {path}: {status} {answer}")
        self.status = status


class IdentityApi:
    """Plain HTTP to one Keystone, one connection per call. Raises IdentityFailed and OSError."""

    def __init__(self, port: int) -> None:
        self._port = port

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> tuple[http.client.HTTPMessage, Any]:
        """Headers and document of an answer below 400."""
        sent = {"Content-Type": "application/json"} | dict(headers or {}) | ({"X-Auth-Token": token} if token else {})
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
        try:
            connection.request(method, f"/v3{path}", None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise IdentityFailed(method, path, answer.status, content.decode(errors="replace"))
        return answer.headers, json.loads(content) if content else None

    def token(self, user: str, project: str, password: str) -> str:
        domain = {"id": DOMAIN}
        who = {"name": user, "domain": domain, "password": password}
        identity = {"methods": ["password"], "password": {"user": who}}
        scope = {"project": {"name": project, "domain": domain}}
        headers, _ = self.call("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        return str(headers["X-Subject-Token"])

    def ids(self, collection: str, token: str, **filters: str) -> dict[str, str]:
        """Id by name of all resources of one kind."""
        path = f"/{collection}?{urlencode(filters)}" if filters else f"/{collection}"
        return {row["name"]: row["id"] for row in self.call("GET", path, token=token)[1][collection]}

    def create(self, kind: str, token: str, **fields: Any) -> str:
        """Create one resource (`kind` in the singular) and return its id."""
        return str(self.call("POST", f"/{kind}s", {kind: fields}, token=token)[1][kind]["id"])

    def seed(self) -> None:
        """Projects, roles and users of `USERS`, beside what the bootstrap made."""
        token = self.token("admin", "admin", PASSWORD)
        projects, roles = self.ids("projects", token), self.ids("roles", token)
        for project in sorted({project for project, _ in USERS.values()} - projects.keys()):
            projects[project] = self.create("project", token, name=project, domain_id=DOMAIN)
        for role in sorted({role for _, granted in USERS.values() for role in granted} - roles.keys()):
            roles[role] = self.create("role", token, name=role)
        for name, (project, granted) in USERS.items():
            if name == "admin":
                continue
            home = projects[project]
            user = self.create("user", token, name=name, password=PASSWORD, domain_id=DOMAIN, default_project_id=home)
            for role in granted:
                self.call("PUT", f"/projects/{home}/users/{user}/roles/{roles[role]}", token=token)
            for role in DOMAIN_ROLES.get(name, ()):
                self.call("PUT", f"/domains/{DOMAIN}/users/{user}/roles/{roles[role]}", token=token)

    def set_endpoint(self, name: str, kind: str, url: str) -> str:
        """Point all interfaces of a service to `url`, creating what is not there. Returns the service's id."""
        token = self.token("admin", "admin", PASSWORD)
        have_services = self.ids("services", token, type=kind)
        service = have_services.get(name) or self.create("service", token, name=name, type=kind)
        rows = self.call("GET", f"/endpoints?service_id={service}", token=token)[1]["endpoints"]
        have = {row["interface"]: row["id"] for row in rows}
        for interface in INTERFACES:
            if interface in have:
                self.call("PATCH", f"/endpoints/{have[interface]}", {"endpoint": {"url": url}}, token=token)
            else:
                fields = {"service_id": service, "interface": interface, "url": url, "region_id": REGION}
                self.create("endpoint", token, **fields)
        return service

    def ec2_keys(self, user: str, project: str) -> tuple[str, str]:
        """An access key and its secret, by which S3 knows the user as a member of the project."""
        token = self.token("admin", "admin", PASSWORD)
        tenant, who = self.ids("projects", token)[project], self.ids("users", token)[user]
        made = self.call("POST", f"/users/{who}/credentials/OS-EC2", {"tenant_id": tenant}, token=token)[1][
            "credential"
        ]
        return made["access"], made["secret"]

    def application_credential(self, user: str, project: str) -> tuple[str, str]:
        """Id and secret of a new one, with all the user's roles in the project."""
        own = self.token(user, project, PASSWORD)
        who = self.ids("users", self.token("admin", "admin", PASSWORD))[user]
        body = {"application_credential": {"name": uuid.uuid4().hex}}
        made = self.call("POST", f"/users/{who}/application_credentials", body, token=own)[1]
        return made["application_credential"]["id"], made["application_credential"]["secret"]

    def register_limits(self, service: str, limits: Mapping[str, int]) -> None:
        """Unified limits for the image service, and the system role by which user glance reads them."""
        token = self.token("admin", "admin", PASSWORD)
        user, role = self.ids("users", token)["glance"], self.ids("roles", token)["reader"]
        self.call("PUT", f"/system/users/{user}/roles/{role}", token=token)
        rows = self.call("GET", f"/registered_limits?service_id={service}", token=token)[1]["registered_limits"]
        known = {row["resource_name"]: row["id"] for row in rows}
        fields = {"service_id": service, "region_id": REGION}
        for name, default in limits.items():
            values = fields | {"resource_name": name, "default_limit": default}
            if name in known:
                body = {"registered_limit": {"default_limit": default}}
                self.call("PATCH", f"/registered_limits/{known[name]}", body, token=token)
            else:
                self.call("POST", "/registered_limits", {"registered_limits": [values]}, token=token)
