"""One row for each option of Glance that has a counterpart in Glint, and for each that is read beside others.

A row: section, option, its value, and what comes of it: the keys, or a part of the reason why there is none.
"""

from collections.abc import Mapping
from typing import Any

Case = tuple[str, str, str, Mapping[str, Any] | str]

_KEYSTONE = "auth.keystone"
_FILE = "stores.backends.file"
_HTTP = "stores.backends.http"
_IN_MEMORY = "remembers tokens in its own memory"

SERVER: tuple[Case, ...] = (
    ("DEFAULT", "bind_host", "2001:db8::1", {"server.host": "2001:db8::1"}),
    ("DEFAULT", "bind_port", "9393", {"server.port": 9393}),
    ("DEFAULT", "bind_port", "http", "expected a whole number"),
    ("DEFAULT", "bind_port", "70000", "expected a port"),
    ("DEFAULT", "workers", "4", {"server.workers": 4}),
    ("DEFAULT", "workers", "0", {"server.workers": 1}),
    ("DEFAULT", "cert_file", "/etc/ssl/glance.pem", {"server.tls.certificate": "/etc/ssl/glance.pem"}),
    ("DEFAULT", "key_file", "/etc/ssl/glance.key", {"server.tls.key": "/etc/ssl/glance.key"}),
    ("DEFAULT", "ca_file", "/etc/ssl/ca.pem", "asks clients for no certificate"),
    ("DEFAULT", "public_endpoint", "https://i.example.org", {"server.public_endpoint": "https://i.example.org"}),
    ("DEFAULT", "public_endpoint", "", {"server.public_endpoint": None}),
    ("DEFAULT", "worker_self_reference_url", "http://a:1", {"server.worker_self_reference_url": "http://a:1"}),
    ("DEFAULT", "secure_proxy_ssl_header", "HTTP_X", {"server.enable_proxy_headers_parsing": True}),
    ("oslo_middleware", "enable_proxy_headers_parsing", "on", {"server.enable_proxy_headers_parsing": True}),
    ("oslo_middleware", "max_request_body_size", "5", "api.json_body_max"),
    ("DEFAULT", "client_socket_timeout", "60", {"server.client_idle_s": 60}),
    ("DEFAULT", "client_socket_timeout", "0", "without an end"),
    ("DEFAULT", "backlog", "4096", "looked after by Glint"),
    ("DEFAULT", "debug", "1", {"logging.level": "debug"}),
    ("DEFAULT", "use_json", "yes", {"logging.format": "json"}),
    ("DEFAULT", "log_file", "/var/log/glance/api.log", "standard error"),
    ("DEFAULT", "transport_url", "rabbit://glance:hunter2@mq", "no notifications"),
    ("DEFAULT", "rpc_transport_url", "rabbit://glance:hunter2@mq", "no notifications"),
    ("DEFAULT", "control_exchange", "glance", "no notifications"),
    ("DEFAULT", "notification_exchange", "glance", "no notifications"),
    ("DEFAULT", "default_publisher_id", "image.a", "no notifications"),
    ("DEFAULT", "disabled_notifications", "image", "no notifications"),
    ("oslo_messaging_notifications", "driver", "messagingv2", "hears nothing"),
    ("oslo_messaging_notifications", "driver", "noop", {"notifications.driver": "noop"}),
    ("DEFAULT", "notification_driver", "messaging", "hears nothing"),
    ("DEFAULT", "notifier_driver", "rabbit", "hears nothing"),
    ("DEFAULT", "notifier_strategy", "rabbit", "hears nothing"),
    ("oslo_messaging_notifications", "transport_url", "rabbit://mq", "no notifications"),
    ("DEFAULT", "notification_transport_url", "rabbit://mq", "no notifications"),
    ("oslo_messaging_notifications", "topics", "notifications", "no notifications"),
    ("DEFAULT", "notification_topics", "notifications", "no notifications"),
    ("oslo_messaging_notifications", "retry", "3", "no notifications"),
    ("healthcheck", "detailed", "true", {"api.healthcheck_detailed": True}),
    ("healthcheck", "disable_by_file_path", "/run/off", {"api.healthcheck_disable_file": "/run/off"}),
    ("healthcheck", "backends", "disable_by_file", "api.healthcheck_disable_file"),
)

IDENTITY: tuple[Case, ...] = (
    ("paste_deploy", "flavor", "keystone", {"auth.kind": "keystone"}),
    ("paste_deploy", "flavor", "keystone+cachemanagement", {"auth.kind": "keystone"}),
    ("paste_deploy", "flavor", "caching", "everyone is admin"),
    ("paste_deploy", "flavor", "trusted-auth", "believes no identity in headers"),
    ("paste_deploy", "config_file", "glance-api-paste.ini", "not found"),
    ("keystone_authtoken", "delay_auth_decision", "false", "Glance's own paste file says true"),
    ("keystone_authtoken", "auth_section", "login", "taken from [login]"),
    ("keystone_authtoken", "auth_type", "v3password", "by name and password anyway"),
    ("keystone_authtoken", "auth_plugin", "v3applicationcredential", "by name and password only"),
    ("keystone_authtoken", "auth_url", "http://k:5000", {f"{_KEYSTONE}.auth_url": "http://k:5000"}),
    ("keystone_authtoken", "auth_url", "http://k:5000/v2.0/", {f"{_KEYSTONE}.auth_url": "http://k:5000/v3"}),
    ("keystone_authtoken", "identity_uri", "http://k:35357", {f"{_KEYSTONE}.auth_url": "http://k:35357"}),
    ("keystone_authtoken", "auth_host", "fd00::1", {f"{_KEYSTONE}.auth_url": "https://[fd00::1]:35357"}),
    ("keystone_authtoken", "auth_port", "5000", {f"{_KEYSTONE}.auth_url": "https://127.0.0.1:5000"}),
    ("keystone_authtoken", "auth_protocol", "http", {f"{_KEYSTONE}.auth_url": "http://127.0.0.1:35357"}),
    (
        *("keystone_authtoken", "www_authenticate_uri", "http://k:5000"),
        {f"{_KEYSTONE}.auth_url": "http://k:5000", f"{_KEYSTONE}.www_authenticate_uri": "http://k:5000"},
    ),
    (
        *("keystone_authtoken", "auth_uri", "http://k:5000/v3"),
        {f"{_KEYSTONE}.auth_url": "http://k:5000/v3", f"{_KEYSTONE}.www_authenticate_uri": "http://k:5000/v3"},
    ),
    *(
        ("keystone_authtoken", name, "glance", {f"{_KEYSTONE}.username": "glance"})
        for name in ("username", "user_name", "user-name", "admin_user")
    ),
    *(
        ("keystone_authtoken", name, "hun%ter2 #$$", {f"{_KEYSTONE}.password": "hun%ter2 #$"})
        for name in ("password", "admin_password")
    ),
    ("keystone_authtoken", "password", "hunter$two", "it holds a $variable"),
    *(
        ("keystone_authtoken", name, "services", {f"{_KEYSTONE}.project_name": "services"})
        for name in ("project_name", "tenant_name", "tenant-name", "admin_tenant_name")
    ),
    ("keystone_authtoken", "user_domain_name", "Users", {f"{_KEYSTONE}.user_domain_name": "Users"}),
    ("keystone_authtoken", "user_domain_id", "default", {f"{_KEYSTONE}.user_domain_name": "Default"}),
    ("keystone_authtoken", "user_domain_id", "8a7b", "knows domains by name: set auth.keystone.user_domain_name"),
    ("keystone_authtoken", "project_domain_name", "P", {f"{_KEYSTONE}.project_domain_name": "P"}),
    ("keystone_authtoken", "project_domain_id", "default", {f"{_KEYSTONE}.project_domain_name": "Default"}),
    (
        *("keystone_authtoken", "default_domain_name", "D"),
        {f"{_KEYSTONE}.user_domain_name": "D", f"{_KEYSTONE}.project_domain_name": "D"},
    ),
    (
        *("keystone_authtoken", "default_domain_id", "default"),
        {f"{_KEYSTONE}.user_domain_name": "Default", f"{_KEYSTONE}.project_domain_name": "Default"},
    ),
    ("keystone_authtoken", "user_id", "8a7b", "set auth.keystone.username"),
    *(
        ("keystone_authtoken", name, "8a7b", "set auth.keystone.project_name")
        for name in ("project_id", "tenant_id", "tenant-id")
    ),
    *(
        ("keystone_authtoken", name, "all", "logs in to a project")
        for name in ("system_scope", "domain_id", "domain_name", "trust_id")
    ),
    ("keystone_authtoken", "cafile", "/etc/ssl/own.pem", "trusts the system's authorities"),
    ("keystone_authtoken", "insecure", "true", "always looks at Keystone's certificate"),
    ("keystone_authtoken", "certfile", "/etc/ssl/c.pem", "without https"),
    ("keystone_authtoken", "keyfile", "/etc/ssl/c.key", "without https"),
    ("keystone_authtoken", "region_name", "1008", {f"{_KEYSTONE}.region_name": "1008"}),
    ("keystone_authtoken", "interface", "publicURL", {f"{_KEYSTONE}.interface": "public"}),
    ("keystone_authtoken", "interface", "outer", "expected one of internal, public, admin"),
    ("keystone_authtoken", "http_connect_timeout", "2", {f"{_KEYSTONE}.http_connect_timeout_s": 2.0}),
    ("keystone_authtoken", "http_request_max_retries", "5", {f"{_KEYSTONE}.http_request_max_retries": 5}),
    ("keystone_authtoken", "service_token_roles", "a, b", {f"{_KEYSTONE}.service_token_roles": ["a", "b"]}),
    ("keystone_authtoken", "service_token_roles_required", "false", "always asks for one"),
    ("keystone_authtoken", "auth_version", "v3", "version 3"),
    ("DEFAULT", "allow_anonymous_access", "true", {"auth.allow_anonymous_access": True}),
)

TOKENS: tuple[Case, ...] = (
    ("keystone_authtoken", "memcached_servers", "a:1,b", {"token_cache.memcached_servers": ["a:1", "b:11211"]}),
    (
        *("keystone_authtoken", "memcache_servers", "inet6:[fd00::1]:1,fd00::2,unix:/run/m"),
        {"token_cache.memcached_servers": ["[fd00::1]:1", "[fd00::2]:11211", "unix:/run/m"]},
    ),
    ("keystone_authtoken", "memcache_security_strategy", "MAC", {"token_cache.security_strategy": "mac"}),
    ("keystone_authtoken", "memcache_security_strategy", "ROT13", "expected one of none, mac, encrypt"),
    ("keystone_authtoken", "memcache_secret_key", "hunter2", {"token_cache.secret_key": "hunter2"}),
    ("keystone_authtoken", "memcache_tls_enabled", "true", _IN_MEMORY),
    ("keystone_authtoken", "memcache_sasl_enabled", "true", _IN_MEMORY),
    ("keystone_authtoken", "memcache_sasl_enabled", "false", "neither does Glint"),
    ("keystone_authtoken", "token_cache_time", "-1", {"token_cache.ttl_s": 0}),
    ("DEFAULT", "use_keystone_limits", "true", {"api.use_keystone_limits": True}),
    ("oslo_limit", "endpoint_service_type", "image", {f"{_KEYSTONE}.limits.service_type": "image"}),
    ("oslo_limit", "endpoint_service_name", "glance", {f"{_KEYSTONE}.limits.service_name": "glance"}),
    ("oslo_limit", "endpoint_interface", "internal", {f"{_KEYSTONE}.limits.interface": "internal"}),
    ("oslo_limit", "endpoint_region_name", "one", {f"{_KEYSTONE}.region_name": "one"}),
    ("oslo_limit", "endpoint_id", "8a7b", "never by its id"),
    ("oslo_limit", "username", "glance", "as auth.keystone.username"),
)

API: tuple[Case, ...] = (
    ("DEFAULT", "image_cache_dir", "/c", {"cache.dir": "/c/glint", "api.cache_api": True}),
    ("DEFAULT", "image_cache_dir", "", {"api.cache_api": False}),
    ("DEFAULT", "image_cache_max_size", "53687091200", {"cache.size_max": "50 GiB"}),
    ("DEFAULT", "image_cache_max_size", "0", "always caches"),
    ("DEFAULT", "image_cache_driver", "sqlite", "looks after itself"),
    *(
        ("DEFAULT", name, "-1", {f"api.{name}": -1})
        for name in ("image_member_quota", "image_property_quota", "image_tag_quota", "image_location_quota")
    ),
    ("DEFAULT", "max_request_id_length", "100", {"api.max_request_id_length": 100}),
    ("DEFAULT", "limit_param_default", "50", {"api.limit_param_default": 50}),
    ("DEFAULT", "limit_param_default", "0", "expected a number of 1 or more"),
    ("DEFAULT", "api_limit_max", "200", {"api.api_limit_max": 200}),
    ("DEFAULT", "image_size_cap", "1073741824", {"api.image_size_cap": "1 GiB"}),
    ("DEFAULT", "user_storage_quota", "500GB", {"api.user_storage_quota": "500GB"}),
    ("DEFAULT", "show_image_direct_url", "True", {"api.show_image_direct_url": True}),
    ("DEFAULT", "show_multiple_locations", "True", {"api.show_multiple_locations": True}),
    ("DEFAULT", "do_secure_hash", "no", {"api.do_secure_hash": False}),
    ("DEFAULT", "http_retries", "7", {"api.http_retries": 7}),
    ("DEFAULT", "allow_additional_image_properties", "0", {"api.allow_additional_image_properties": False}),
    ("image_format", "disk_formats", "raw, qcow2", {"api.disk_formats": ["raw", "qcow2"]}),
    ("DEFAULT", "disk_formats", "raw", {"api.disk_formats": ["raw"]}),
    ("image_format", "container_formats", "bare", {"api.container_formats": ["bare"]}),
    ("DEFAULT", "container_formats", "bare", {"api.container_formats": ["bare"]}),
    ("image_format", "vmdk_allowed_types", "streamOptimized", {"api.vmdk_allowed_types": ["streamOptimized"]}),
    ("image_format", "gpt_safety_checks_nonfatal", "a,b", {"api.gpt_safety_checks_nonfatal": ["a", "b"]}),
    ("image_format", "require_image_format_match", "off", {"api.require_image_format_match": False}),
    ("DEFAULT", "enable_image_import", "false", {"api.import_methods": []}),
    ("DEFAULT", "enable_image_import", "true", "api.import_methods says it"),
    ("DEFAULT", "enabled_import_methods", "[web-download]", {"api.import_methods": ["web-download"]}),
    ("DEFAULT", "enabled_import_methods", "web-download,x", "there is no import method x"),
    (
        *("image_import_opts", "image_import_plugins", "['image_decompression', 'image_conversion']"),
        {"api.import_plugins": ["image_decompression", "image_conversion"]},
    ),
    ("image_import_opts", "image_import_plugins", "[ours]", "no import plugin ours"),
    ("import_filtering_opts", "allowed_schemes", "[https]", {"api.import_filter.allowed_schemes": ["https"]}),
    ("import_filtering_opts", "disallowed_schemes", "http", {"api.import_filter.disallowed_schemes": ["http"]}),
    ("import_filtering_opts", "allowed_hosts", "[a,b]", {"api.import_filter.allowed_hosts": ["a", "b"]}),
    ("import_filtering_opts", "disallowed_hosts", "[a]", {"api.import_filter.disallowed_hosts": ["a"]}),
    ("import_filtering_opts", "allowed_ports", "[]", {"api.import_filter.allowed_ports": []}),
    ("import_filtering_opts", "allowed_ports", "[http]", "expected ports"),
    ("import_filtering_opts", "disallowed_ports", "[22]", {"api.import_filter.disallowed_ports": [22]}),
    ("inject_metadata_properties", "ignore_user_roles", "a,b", {"api.inject_metadata.ignore_user_roles": ["a", "b"]}),
    ("inject_metadata_properties", "inject", "a:1, b:x:y", {"api.inject_metadata.inject": {"a": "1", "b": "x:y"}}),
    ("inject_metadata_properties", "inject", "a", "expected pairs"),
    ("image_conversion", "output_format", "qcow2", {"api.conversion.output_format": "qcow2"}),
    ("glance_download_properties", "extra_properties", "[hw_]", {"api.glance_download_properties": ["hw_"]}),
    ("task", "task_time_to_live", "24", {"api.task_time_to_live_h": 24}),
    ("DEFAULT", "task_time_to_live", "24", {"api.task_time_to_live_h": 24}),
    ("task", "work_dir", "/w", "api.staging_dir"),
    ("wsgi", "task_pool_threads", "8", {"api.tasks_max": 8}),
    ("cors", "allowed_origin", "https://a,https://b", {"cors.allowed_origin": ["https://a", "https://b"]}),
    ("cors", "allow_credentials", "false", {"cors.allow_credentials": False}),
    ("cors", "max_age", "60", {"cors.max_age": 60}),
    ("cors", "allow_methods", "GET", {"cors.allow_methods": ["GET"]}),
    ("cors", "allow_headers", "X-A", {"cors.allow_headers": ["X-A"]}),
    ("cors", "expose_headers", "", {"cors.expose_headers": []}),
    ("oslo_policy", "policy_file", "rules.yaml", {"api.policy_file": "/etc/glance/rules.yaml"}),
    ("DEFAULT", "policy_file", "rules.yaml", {"api.policy_file": "/etc/glance/rules.yaml"}),
    ("oslo_policy", "policy_file", "none.yaml", "there is no such file"),
    ("oslo_policy", "policy_dirs", "empty.d", "no files in it"),
    ("DEFAULT", "policy_dirs", "more.d", "put the rules of /etc/glance/more.d/a.yaml into it"),
    ("oslo_policy", "policy_default_rule", "default", "so it is"),
    ("DEFAULT", "policy_default_rule", "others", "name yours so"),
    ("oslo_policy", "enforce_scope", "false", {"api.enforce_scope": False}),
    ("oslo_policy", "enforce_new_defaults", "false", {"api.enforce_new_defaults": False}),
    ("DEFAULT", "property_protection_file", "p.conf", {"api.property_protection_file": "/etc/glance/p.conf"}),
    ("DEFAULT", "property_protection_file", "q.conf", "protected from nobody"),
    ("DEFAULT", "property_protection_rule_format", "policies", {"api.property_protection_rule_format": "policies"}),
    ("DEFAULT", "hashing_algorithm", "sha512", "so it is"),
    ("DEFAULT", "hashing_algorithm", "sha256", "get sha512"),
    ("DEFAULT", "enable_v2_api", "true", "version 2"),
    ("DEFAULT", "metadata_encryption_key", "0123456789abcdef", "cannot read the encrypted URLs"),
    ("DEFAULT", "owner_is_tenant", "false", "belong to projects"),
    ("DEFAULT", "delayed_delete", "true", {"deletion.delayed": True}),
    ("DEFAULT", "scrub_time", "3600", {"deletion.scrub_time_s": 3600}),
    ("DEFAULT", "scrub_pool_size", "4", {"deletion.scrub_pool_size": 4}),
    ("DEFAULT", "wakeup_time", "60", {"deletion.wakeup_time_s": 60}),
    ("DEFAULT", "wakeup_time", "0", "1 or more"),
    ("barbican", "barbican_endpoint", "http://k:9311", {"key_manager.endpoint": "http://k:9311"}),
    ("barbican", "barbican_endpoint_type", "internal", {"key_manager.interface": "internal"}),
    ("barbican", "barbican_region_name", "two", {"key_manager.region_name": "two"}),
)

STORES: tuple[Case, ...] = (
    ("DEFAULT", "enabled_backends", "a:file", {"stores.backends.a.kind": "file"}),
    ("DEFAULT", "enabled_backends", "san:cinder", "cannot read stores of kind cinder"),
    ("DEFAULT", "enabled_backends", "", "there are none in it"),
    ("glance_store", "default_backend", "a", "does not look at it"),
    ("glance_store", "stores", "file", {f"{_FILE}.kind": "file"}),
    ("DEFAULT", "stores", "file", {f"{_FILE}.kind": "file"}),
    ("DEFAULT", "known_stores", "glance.store.filesystem.Store", {f"{_FILE}.kind": "file"}),
    ("glance_store", "stores", "file,swift", "a swift store is enabled, but nothing is said to it"),
    ("glance_store", "default_store", "file", {"stores.default": "file"}),
    ("DEFAULT", "default_store", "filesystem", {"stores.default": "file"}),
    ("glance_store", "default_store_scheme", "file", {"stores.default": "file"}),
    ("glance_store", "default_store", "cinder", "cannot read stores of kind cinder"),
    ("glance_store", "default_store", "http", {"stores.default": None}),
    ("DEFAULT", "location_strategy", "location_order", "in the order of rows"),
    ("store_type_location_strategy", "store_type_preference", "http,file", "does not ask for it"),
    ("DEFAULT", "node_staging_uri", "file:///srv/staging/", {"api.staging_dir": "/srv/staging"}),
    ("DEFAULT", "node_staging_uri", "http://x", "expected a URI such as file://"),
    ("os_glance_staging_store", "filesystem_store_datadir", "/s", "Glance looks at [DEFAULT] node_staging_uri instead"),
    *(
        (section, name, value, {f"{_FILE}.{key}": expected})
        for section in ("glance_store", "DEFAULT")
        for name, value, key, expected in (
            ("filesystem_store_datadir", "/srv/images", "dir", "/srv/images"),
            ("filesystem_store_datadirs", "/srv/a:20", "dirs", [{"path": "/srv/a", "priority": 20}]),
            ("filesystem_store_metadata_file", "/etc/glance/m.json", "metadata_file", "/etc/glance/m.json"),
            ("filesystem_thin_provisioning", "true", "thin_provisioning", True),
            ("filesystem_store_file_perm", "0640", "file_mode", 0o640),
            ("filesystem_store_file_perm", "0", "file_mode", None),
            ("filesystem_store_thread_pool_size", "32", "threads_max", 32),
        )
    ),
    ("glance_store", "filesystem_store_file_perm", "9", "expected a file mode"),
    ("glance_store", "filesystem_store_datadirs", "/srv/a:high", "expected a folder and its priority"),
    ("glance_store", "filesystem_store_datadirs", ":7", "expected each folder once"),
    *(
        (section, name, value, "")
        for section in ("glance_store", "DEFAULT")
        for name, value in (
            ("filesystem_store_chunk_size", "65536"),
            ("filesystem_store_timeout", "5"),
            ("filesystem_store_threadpool_threshold", "75"),
        )
    ),
    *(
        (section, name, value, outcome)
        for section in ("glance_store", "DEFAULT")
        for name, value, outcome in (
            ("https_ca_certificates_file", "/ca.pem", {f"{_HTTP}.ca_file": "/ca.pem"}),
            ("https_insecure", "true", {f"{_HTTP}.verify_tls": False}),
            ("http_proxy_information", "http:10.0.0.1:3128", {f"{_HTTP}.http_proxy": "http://10.0.0.1:3128"}),
        )
    ),
    (
        *("glance_store", "http_proxy_information", "https:http://u:p@proxy:1"),
        {f"{_HTTP}.https_proxy": "http://u:p@proxy:1"},
    ),
    (
        *("glance_store", "http_proxy_information", "all:proxy:1"),
        {f"{_HTTP}.http_proxy": "http://proxy:1", f"{_HTTP}.https_proxy": "http://proxy:1"},
    ),
    ("glance_store", "http_proxy_information", "http:socks5://proxy:1", "expected the URL of an HTTP proxy"),
    ("glance_store", "http_proxy_information", "ftp:proxy:1", "none for ftp"),
    ("glance_store", "http_proxy_information", "", "no proxy"),
    *(
        (section, name, "1", "no swift store is enabled")
        for section in ("glance_store", "DEFAULT")
        for name in (
            *("default_swift_reference", "swift_buffer_on_upload", "swift_upload_buffer_dir"),
            *(
                f"swift_store_{name}"
                for name in (
                    *("config_file", "auth_version", "multi_tenant", "auth_insecure", "auth_address", "user", "key"),
                    *("application_credential_id", "application_credential_secret", "project_name", "project_id"),
                    *("container", "create_container_on_put", "multiple_containers_seed", "large_object_size"),
                    *("large_object_chunk_size", "region", "endpoint", "endpoint_type", "service_type", "cacert"),
                    *("expire_soon_interval", "retry_get_count", "ssl_compression", "use_trusts", "admin_tenants"),
                )
            ),
        )
    ),
    *(
        (section, f"s3_store_{name}", "5", "no s3 store is enabled")
        for section in ("glance_store", "DEFAULT")
        for name in (
            *("host", "region_name", "access_key", "secret_key", "bucket", "create_bucket_on_put", "bucket_url_format"),
            *("large_object_size", "large_object_chunk_size", "thread_pools", "cacert"),
            *("enable_data_integrity_protection", "request_checksum_calculation", "response_checksum_validation"),
        )
    ),
    *(
        (section, name, value, "no rbd store is enabled")
        for section in ("glance_store", "DEFAULT")
        for name, value in (
            ("rbd_store_pool", "images"),
            ("rbd_store_user", "glance"),
            ("rbd_store_ceph_conf", "/etc/ceph/ceph.conf"),
            ("rbd_store_chunk_size", "8"),
            ("rbd_thin_provisioning", "true"),
            ("rados_connect_timeout", "5"),
        )
    ),
    ("DEFAULT", "cinder_volume_type", "fast", "no cinder store is enabled"),
)

REGISTRY: tuple[Case, ...] = (
    *(
        (section, name, "sqlite:////srv/g.db", {"registry.kind": "sql", "registry.url": "sqlite:////srv/g.db"})
        for section, name in (
            ("database", "connection"),
            ("DEFAULT", "sql_connection"),
            ("DATABASE", "sql_connection"),
            ("sql", "connection"),
        )
    ),
    (
        *("database", "connection", "sqlite:///beside.db"),
        {"registry.kind": "sql", "registry.url": "sqlite:////etc/glance/beside.db"},
    ),
    ("database", "connection", "sqlite:///elsewhere.db", "give the whole path"),
    ("database", "connection_parameters", "charset=utf8", "nothing by itself"),
    ("DEFAULT", "data_api", "glance.db.registry.api", "the registry of Glance is gone"),
    ("DEFAULT", "data_api", "glance.db.sqlalchemy.api", "asks the database itself"),
    ("DEFAULT", "registry_host", "127.0.0.1", "run `glint registry serve` there"),
    ("DEFAULT", "registry_port", "9191", "set registry.kind to remote"),
    *(
        (section, name, "20", {"registry.pool_max": 20})
        for section, name in (
            ("database", "max_pool_size"),
            ("DEFAULT", "sql_max_pool_size"),
            ("DATABASE", "sql_max_pool_size"),
        )
    ),
    ("database", "pool_timeout", "7", {"registry.connect_s": 7.0}),
    ("database", "sqlalchemy_pool_timeout", "7", {"registry.connect_s": 7.0}),
    ("database", "max_overflow", "50", "nothing on top"),
    ("database", "slave_connection", "mysql://x", "one database"),
)

CASES: tuple[Case, ...] = (*SERVER, *IDENTITY, *TOKENS, *API, *STORES, *REGISTRY)
BESIDE = {"rules.yaml": "", "more.d/a.yaml": "", "p.conf": "", "beside.db": ""}
"""What the rows find beside the file."""

OLDER: Mapping[str, str] = {
    "DEFAULT": """
        verbose tcp_keepidle sql_idle_timeout sql_max_retries db_auto_create registry_client_protocol use_user_token
        registry_client_key_file admin_user admin_password admin_tenant_name auth_url auth_strategy auth_region
        send_identity_headers enable_v1_api enable_v3_api enable_v1_registry enable_v2_registry admin_role log_config
        logdir use_syslog syslog_log_facility log_format rabbit_host rabbit_notification_exchange qpid_hostname
        rpc_backend rpc_zmq_host conn_pool_ttl scrubber_datadir cleanup_scrubber cleanup_scrubber_time
        cache_prefetcher_interval eventlet_executor_pool_size http_keepalive max_header_line lock_path
        metadata_source_path swift_enable_snet s3_store_object_buffer_dir sheepdog_store_port cinder_catalog_info
        vmware_server_host mongodb_store_uri store_capabilities_update_min_interval pydev_worker_debug_host
    """,
    "database": "mysql_engine use_tpool idle_timeout min_pool_size mysql_enable_ndb sqlite_db",
    "glance_store": "swift_enable_snet sheepdog_store_address vmware_datacenter_path os_region_name",
    "keystone_authtoken": "admin_token signing_dir hash_algorithms check_revocations_for_cached revocation_cache_time",
    "oslo_messaging_zmq": "rpc_zmq_host",
    "oslo_messaging_qpid": "qpid_hostname",
    "matchmaker_redis": "host",
    "task": "conversion_format eventlet_executor_pool_size",
    "oslo_policy": "remote_ssl_verify_server_crt",
    "privsep_osbrick": "user",
}
"""Options that a Glance of Folsom to Zed had, and the one of the tests has no more."""
