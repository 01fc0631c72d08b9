"""The token that a command shows to a Glint: given, or got from Keystone as the real OpenStack clients do."""

import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp

from proxy.commands.errors import LoginFailed
from upstream.identity import KeystoneConfig

_ATTEMPT_S = 30.0
_NEEDED = "set OS_TOKEN, or OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME, as an openrc file does"


async def find_token(environment: Mapping[str, str], service: KeystoneConfig | None) -> str | None:
    """OS_TOKEN, else a new token for who OS_* names, else for the service's own user; None if nobody is named.

    `service` is None where it must not be used. Raises LoginFailed.
    """
    if token := environment.get("OS_TOKEN"):
        return token
    if environment.get("OS_AUTH_URL"):
        return await _log_in(environment, "OS_USERNAME and OS_PASSWORD")
    if service is not None and service.auth_url is not None:
        return await _log_in(_as_environment(service), "auth.keystone")
    return None


def trusted(environment: Mapping[str, str]) -> ssl.SSLContext:
    """TLS that trusts the system's authorities, or those of OS_CACERT. Raises LoginFailed if that cannot be read."""
    file = environment.get("OS_CACERT") or None
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise LoginFailed(f"OS_CACERT: {file} cannot be used: {error.strerror}") from error


def _as_environment(service: KeystoneConfig) -> Mapping[str, str]:
    given = {
        "OS_AUTH_URL": service.auth_url,
        "OS_USERNAME": service.username,
        "OS_PASSWORD": service.password.get_secret_value() if service.password else None,
        "OS_PROJECT_NAME": service.project_name,
        "OS_USER_DOMAIN_NAME": service.user_domain_name,
        "OS_PROJECT_DOMAIN_NAME": service.project_domain_name,
    }
    return {name: value for name, value in given.items() if value is not None}


async def _log_in(given: Mapping[str, str], named: str) -> str:
    base = given["OS_AUTH_URL"].rstrip("/")
    url = f"{base if base.endswith('/v3') else f'{base}/v3'}/auth/tokens"
    body = {"auth": {"identity": _identity(given)} | _scope(given)}
    tls = trusted(given)
    timeout = aiohttp.ClientTimeout(total=_ATTEMPT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, json=body, ssl=tls, allow_redirects=False) as answer,
        ):
            token = answer.headers.get("X-Subject-Token")
            if answer.status == 201 and token:
                return token
            if answer.status in {401, 403}:
                raise LoginFailed(f"Keystone at {base} refuses the login; check {named}")
            raise LoginFailed(f"Keystone at {base} answered the login with status {answer.status}; check OS_AUTH_URL")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise LoginFailed(f"Keystone at {base} does not answer ({type(error).__name__})") from error


def _identity(given: Mapping[str, str]) -> dict[str, Any]:
    if credential := given.get("OS_APPLICATION_CREDENTIAL_ID"):
        secret = _needed(given, "OS_APPLICATION_CREDENTIAL_SECRET")
        return {"methods": ["application_credential"], "application_credential": {"id": credential, "secret": secret}}
    user: dict[str, Any] = {"password": _needed(given, "OS_PASSWORD")}
    if user_id := given.get("OS_USER_ID"):
        user["id"] = user_id
    else:
        user |= {"name": _needed(given, "OS_USERNAME"), "domain": _domain(given, "OS_USER_DOMAIN")}
    return {"methods": ["password"], "password": {"user": user}}


def _scope(given: Mapping[str, str]) -> dict[str, Any]:
    """An application credential brings its own project."""
    if given.get("OS_APPLICATION_CREDENTIAL_ID"):
        return {}
    if project_id := given.get("OS_PROJECT_ID"):
        return {"scope": {"project": {"id": project_id}}}
    if name := given.get("OS_PROJECT_NAME"):
        return {"scope": {"project": {"name": name, "domain": _domain(given, "OS_PROJECT_DOMAIN")}}}
    return {}


def _domain(given: Mapping[str, str], prefix: str) -> dict[str, str]:
    if domain_id := given.get(f"{prefix}_ID"):
        return {"id": domain_id}
    return {"name": given.get(f"{prefix}_NAME") or "Default"}


def _needed(given: Mapping[str, str], name: str) -> str:
    if value := given.get(name):
        return value
    raise LoginFailed(f"OS_AUTH_URL is set, but {name} is not: {_NEEDED}")


TOKEN_NEEDED = _NEEDED
