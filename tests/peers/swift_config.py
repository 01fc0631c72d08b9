"""What a real Swift reads: its configuration files, for one machine with one device."""

from collections.abc import Mapping

SWIFT = """\
[swift-hash]
swift_hash_path_suffix = glint
[swift-constraints]
max_file_size = {max_file_size}
"""

STORAGE = """\
[DEFAULT]
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
disable_fallocate = true
log_address = {directory}/no-log
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""

# The orders of authentication are those of Swift's own documentation.
TEMPAUTH_PIPELINE = "s3api tempauth"
KEYSTONE_PIPELINE = "authtoken s3api s3token keystoneauth"

PROXY = """\
[DEFAULT]
swift_dir = {directory}
log_address = {directory}/no-log
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk {auth} copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = {node_timeout_s}
recoverable_node_timeout = {node_timeout_s}
error_suppression_interval = 0
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = {memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
minimum_segment_size = 1
allow_async_delete = false
[filter:dlo]
use = egg:swift#dlo
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
min_segment_size = {s3_part_min_bytes}
"""

TEMPAUTH = """\
[filter:tempauth]
use = egg:swift#tempauth
token_life = {token_life_s}
user_test_tester = testing .admin
user_test_reader = reading
user_other_owner = owning .admin
"""

KEYSTONE = """\
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {keystone}
{credentials}delay_auth_decision = True
cache = swift.cache
service_token_roles_required = True
[filter:s3token]
use = egg:swift#s3token
auth_uri = {keystone}
{credentials}[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
"""

CREDENTIALS = """\
auth_url = {keystone}
auth_type = password
username = glance
password = {password}
project_name = service
user_domain_id = default
project_domain_id = default
"""


def files(directory: str, values: Mapping[str, str]) -> dict[str, str]:
    """Content by name. `values` are the names in braces above; `keystone` is empty for tempauth."""
    known = {"directory": directory, **values}
    if known["keystone"]:
        known["credentials"] = CREDENTIALS.format(**known)
        proxy = PROXY.format(auth=KEYSTONE_PIPELINE, **known) + KEYSTONE.format(**known)
    else:
        proxy = PROXY.format(auth=TEMPAUTH_PIPELINE, **known) + TEMPAUTH.format(**known)
    storage = {f"{name}.conf": STORAGE.format(name=name, **known) for name in ("account", "container", "object")}
    return {"swift.conf": SWIFT.format(**known), "proxy.conf": proxy, **storage}
