"""Run by a Glance's own Python: prints every option that it and its libraries register, as JSON."""

# mypy: ignore-errors
# ruff: noqa: E402

import json
import sys
from typing import Any
from unittest.mock import MagicMock

LACKING = ("os_brick", "os_brick.initiator", "os_brick.initiator.connectors", "os_brick.exception", "cinderclient")
LACKING += ("cinderclient.v3", "cinderclient.v3.client", "cinderclient.exceptions", "cinderclient.apiclient")
for name in LACKING:
    sys.modules[name] = MagicMock()  # libraries of the Cinder store, which its options do without

import castellan.options
import glance.common.config
import glance.opts
import glance_store.backend
import oslo_concurrency.opts
import oslo_db.options
import oslo_limit.opts
import oslo_log._options
import oslo_messaging.opts
import oslo_middleware.opts
import oslo_policy.opts
import oslo_reports.opts
from keystoneauth1 import loading
from keystonemiddleware.auth_token import _opts as auth_token

LISTS = (
    glance.opts.list_api_opts,
    glance.opts.list_cache_opts,
    glance.opts.list_scrubber_opts,
    glance.opts.list_manage_opts,
    glance.opts.list_image_import_opts,
    auth_token.list_opts,
    oslo_concurrency.opts.list_opts,
    oslo_db.options.list_opts,
    oslo_limit.opts.list_opts,
    oslo_log._options.list_opts,
    oslo_messaging.opts.list_opts,
    oslo_middleware.opts.list_opts,
    oslo_policy.opts.list_opts,
    oslo_reports.opts.list_opts,
    castellan.options.list_opts,
)
LOGINS = ("password", "v3password", "v2password", "v3applicationcredential")


def row(section: Any, option: Any) -> dict[str, Any]:
    section = getattr(section, "name", section) or "DEFAULT"
    older = [(each.group or section, each.name) for each in option.deprecated_opts if each.name]
    return {"section": section, "name": option.dest, "default": plain(option.default), "older": older}


def plain(value: Any) -> Any:
    return value if isinstance(value, (type(None), bool, int, float, str, list, dict)) else str(value)


glance.common.config.set_config_defaults()
rows = [row(section, option) for lister in LISTS for section, options in lister() for option in options]
rows += [row(section, option) for section, options in glance_store.backend._list_opts() for option in options]
for name in LOGINS:
    rows += [row("keystone_authtoken", option._to_oslo_opt()) for option in loading.get_plugin_options(name)]
json.dump(rows, sys.stdout)
