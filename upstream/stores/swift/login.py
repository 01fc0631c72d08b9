"""What Swift's two ways to log in send and answer. Pure."""

from collections.abc import Mapping
from typing import Any

from upstream.stores.swift.config import Reference, SwiftStoreConfig


def login_body(reference: Reference) -> dict[str, Any]:
    """Of `POST /v3/auth/tokens`. Where no domain is named it is the one with the id `default`, as for glance_store."""
    credential, secret = reference.by_application
    if secret is not None:
        application = {"id": credential, "secret": secret.get_secret_value()}
        identity = {"methods": ["application_credential"], "application_credential": application}
        return {"auth": {"identity": identity}}
    assert reference.user is not None
    assert reference.key is not None
    project, _, user = reference.user.partition(":")
    who = {
        "name": user,
        "domain": _domain(reference.user_domain_id, reference.user_domain_name),
        "password": reference.key.get_secret_value(),
    }
    scope = {"name": project, "domain": _domain(reference.project_domain_id, reference.project_domain_name)}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": {"project": scope}}}


def login_headers(reference: Reference) -> dict[str, str]:
    """Of `GET` at tempauth's address."""
    assert reference.user is not None
    assert reference.key is not None
    return {"X-Auth-User": reference.user, "X-Auth-Key": reference.key.get_secret_value()}


def storage_url(document: Mapping[str, Any], config: SwiftStoreConfig) -> str | None:
    """The account's URL as the catalogue of a new token says it. Raises KeyError, TypeError, AttributeError."""
    for service in document["token"].get("catalog", ()):
        for endpoint in service.get("endpoints", ()) if service.get("type") == config.service_type else ():
            is_of_region = config.region in (None, endpoint.get("region_id"), endpoint.get("region"))
            if endpoint.get("interface") == config.endpoint_type and is_of_region:
                return str(endpoint["url"])
    return None


def use_s(life_s: float, renew_before_s: float) -> float:
    """How long a token is used that lives so long: of a short life half, or one would be asked for each time."""
    return max(life_s - renew_before_s, life_s / 2)


def _domain(by_id: str | None, by_name: str | None) -> dict[str, str]:
    if by_id is not None:
        return {"id": by_id}
    return {"id": "default"} if by_name is None else {"name": by_name}
