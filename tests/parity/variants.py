"""The variants of the suite: how a Glance and a Glint that are to answer alike are set up. A new one is a row here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.glint import LEFT_OUT, Glint
from tests.parity import guards
from tests.parity.model import Variant
from tests.peers.glance import GlanceOptions
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached

DASHBOARD = "http://dashboard.example.org"
"""The origin that both let read their answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """`glint` are dotted keys of config.yaml, laid over those of every variant. Both find the same files beside theirs.

    `new_image` is what no new image may lack.
    """

    glance: GlanceOptions = field(default_factory=GlanceOptions)
    glint: Mapping[str, Any] = field(default_factory=dict)
    new_image: Mapping[str, Any] = field(default_factory=dict)


_METHODS = "[DEFAULT]\nenabled_import_methods = [glance-direct,web-download,copy-image]\n"

_PROTECTIONS, _SCHEMA, _POLICY = "property-protections.conf", "schema-image.json", "policy.yaml"
_GUARDED = f"{_METHODS}property_protection_file = {_PROTECTIONS}\n"
_PUBLIC = "https://images.example.org/image"
_EDGE = """\
allow_anonymous_access = true
[oslo_middleware]
enable_proxy_headers_parsing = true
[healthcheck]
detailed = true
[cors]
allowed_origin = *
allow_credentials = false
max_age = 0
expose_headers =
[paste_deploy]
config_file = edge-paste.ini
"""
# Glance's own pipeline, but for the path of the file, which is relative to the folder that it runs in.
_PASTE = """\
[composite:glance-api-keystone+cachemanagement]
paste.composite_factory = glance.api:root_app_factory
/: api
/healthcheck: healthcheck
[composite:api]
paste.composite_factory = glance.api:pipeline_factory
keystone+cachemanagement = cors http_proxy_to_wsgi versionnegotiation authtoken context cache cachemanage rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[app:healthcheck]
paste.app_factory = oslo_middleware:Healthcheck.app_factory
backends = disable_by_file
disable_by_file_path = healthcheck_disable
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:cache]
paste.filter_factory = glance.api.middleware.cache:CacheFilter.factory
[filter:cachemanage]
paste.filter_factory = glance.api.middleware.cache_manage:CacheManageFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
oslo_config_project = glance
oslo_config_program = glance-api
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
"""
_QUOTAS: Mapping[str, Any] = {
    "show_multiple_locations": True,
    "user_storage_quota": "300KB",
    "image_size_cap": 150_000,
    "image_property_quota": 2,
    "image_tag_quota": 2,
    "image_member_quota": 2,
    "image_location_quota": 2,
}
_LIMITS: Mapping[str, int] = {
    "image_size_total": 2,
    "image_stage_total": 1,
    "image_count_total": 4,
    "image_count_uploading": 1,
}
LIMITED = "image-parity"
"""Type of the service whose limits that Glint obeys: those of the image service are for other tests."""

_PLUGINS = """\
[image_import_opts]
image_import_plugins = [inject_image_metadata,image_decompression]
[inject_metadata_properties]
ignore_user_roles = admin
inject = imported:yes,number:7
"""
_CONVERSION = """\
[image_import_opts]
image_import_plugins = [image_conversion]
[image_conversion]
output_format = raw
"""

SETUPS: Mapping[Variant, Setup] = {
    "default": Setup(glance=GlanceOptions(settings=_METHODS)),
    "locations": Setup(glance=GlanceOptions(full=True, settings=_METHODS), glint={"api.show_multiple_locations": True}),
    "nocache": Setup(
        glance=GlanceOptions(image_cache=False, settings=f"{_METHODS}image_cache_dir =\npublic_endpoint = {_PUBLIC}\n"),
        glint={"api.cache_api": False, "server.public_endpoint": _PUBLIC},
    ),
    "edge": Setup(
        glance=GlanceOptions(
            settings=f"{_METHODS}{_EDGE}", files={"edge-paste.ini": _PASTE, "healthcheck_disable": ""}
        ),
        glint={
            "auth.allow_anonymous_access": True,
            "server.enable_proxy_headers_parsing": True,
            "api.healthcheck_detailed": True,
            "api.healthcheck_disable_file": "healthcheck_disable",
            "cors.allowed_origin": ["*"],
            "cors.allow_credentials": False,
            "cors.max_age": 0,
            "cors.expose_headers": [],
        },
    ),
    # With glance-download, as the usual settings of the peer have it.
    "remote": Setup(
        glint={"api.import_methods": ["glance-direct", "web-download", "copy-image", "glance-download"]},
    ),
    "roles": Setup(
        glance=GlanceOptions(
            settings=f"{_GUARDED}image_member_quota = 2\n",
            files={_PROTECTIONS: guards.ROLES, _SCHEMA: json.dumps(guards.FLAT_SCHEMA)},
        ),
        glint={
            "api.property_protection_file": _PROTECTIONS,
            "api.image_schema_file": _SCHEMA,
            "api.image_member_quota": 2,
        },
    ),
    "policies": Setup(
        glance=GlanceOptions(
            settings=f"{_GUARDED}property_protection_rule_format = policies\nimage_member_quota = -1\n"
            f"[oslo_policy]\npolicy_file = {_POLICY}\n",
            files={_PROTECTIONS: guards.POLICIES, _POLICY: json.dumps(guards.RULES)},
        ),
        glint={
            "api.property_protection_file": _PROTECTIONS,
            "api.property_protection_rule_format": "policies",
            "api.policy_file": _POLICY,
            "api.image_member_quota": -1,
        },
    ),
    "required": Setup(
        glance=GlanceOptions(settings=_METHODS, files={_SCHEMA: json.dumps(guards.EXTENDED_SCHEMA)}),
        glint={"api.image_schema_file": _SCHEMA},
        new_image={"mission": "probe", "crew": "none"},
    ),
    "quotas": Setup(
        glance=GlanceOptions(settings=_METHODS + "".join(f"{name} = {value}\n" for name, value in _QUOTAS.items())),
        glint={f"api.{name}": value for name, value in _QUOTAS.items()},
    ),
    "limits": Setup(
        glance=GlanceOptions(unified_limits=True, limits=_LIMITS, settings=_METHODS),
        glint={"api.use_keystone_limits": True, "auth.keystone.limits.service_type": LIMITED},
    ),
    "unhashed": Setup(
        glance=GlanceOptions(secure_hash=False, settings=_METHODS),
        glint={"api.do_secure_hash": False},
    ),
    "plugins": Setup(
        glance=GlanceOptions(settings=f"{_METHODS}{_PLUGINS}"),
        glint={
            "api.import_plugins": ["inject_image_metadata", "image_decompression"],
            "api.inject_metadata": {"ignore_user_roles": ["admin"], "inject": {"imported": "yes", "number": "7"}},
        },
    ),
    "conversion": Setup(
        glance=GlanceOptions(settings=f"{_METHODS}{_CONVERSION}"),
        glint={"api.import_plugins": ["image_conversion"], "api.conversion": {"output_format": "raw"}},
    ),
}


def glint_for(variant: Variant, folder: Path, keystone: Keystone, memcached: Memcached) -> Glint:
    """A Glint, not started yet, with the stores of the Glance and a Keystone of the same users."""
    for name, content in SETUPS[variant].glance.files.items():
        (folder / name).write_text(content)
    if "auth.keystone.limits.service_type" in SETUPS[variant].glint:
        service = keystone.api.set_endpoint("parity", LIMITED, "http://127.0.0.1:1")
        keystone.api.register_limits(service, _LIMITS)
    glint = Glint(
        folder,
        {
            "auth.kind": "keystone",
            "auth.keystone": {"auth_url": keystone.url, "username": "glance", "password": "secret"},
            "token_cache": {"memcached_servers": [memcached.address], "secret_key": "parity"},
            "api.do_secure_hash": True,
            "stores.default": "file",
            "stores.backends": LEFT_OUT,  # what follows is all of them, in this order
            "stores.backends.file": {"kind": "file", "dir": "images", "weight": 100},
            "stores.backends.second": {"kind": "file", "dir": "images2"},
            "stores.backends.web": {"kind": "http"},
            # As the recorded Glance has it: the origin of the tests is on a loopback address and a port of its own.
            "api.import_filter": {"allowed_hosts": ["127.0.0.1"], "allowed_ports": [], "denied_networks": []},
            "logging.level": "warning",
            "cors.allowed_origin": [DASHBOARD],
            **SETUPS[variant].glint,
        },
    )
    if disable_file := SETUPS[variant].glint.get("api.healthcheck_disable_file"):
        (folder / disable_file).touch()
    glint.settings["server.worker_self_reference_url"] = glint.url
    return glint
