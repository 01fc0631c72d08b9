"""What several options say together: stores, logins, the registry."""

import pytest

from proxy.config_import.conf import parse
from tests.config_import.imported import imported

KEYSTONE = "[paste_deploy]\nflavor = keystone\n"
DATABASE = "[database]\nconnection = postgresql://glance:hunter2@db/glance\n"
NAMED = """\
[DEFAULT]
enabled_backends = fast:file, Slow.1:file, web:http
[glance_store]
default_backend = Slow.1
[fast]
filesystem_store_datadir = /srv/fast
weight = 100
store_description = quick and small
[Slow.1]
filesystem_store_datadir = /srv/slow
[web]
https_insecure = false
[os_glance_staging_store]
filesystem_store_datadir = /srv/staging
filesystem_store_file_perm = 0600
"""


def keys(text: str) -> dict[tuple[str, ...], object]:
    return {one.key: one.value for one in imported(text).imported.mapped}


def test_named_back_ends_keep_their_names_folders_and_weights() -> None:
    found = keys(NAMED)
    place = ("stores", "backends")
    assert found[("stores", "default")] == "Slow.1"
    assert found[(*place, "fast", "dir")] == "/srv/fast"
    assert found[(*place, "fast", "weight")] == 100
    assert found[(*place, "fast", "description")] == "quick and small"
    assert found[(*place, "Slow.1", "dir")] == "/srv/slow"
    assert found[(*place, "web", "kind")] == "http"
    assert found[("api", "staging_dir")] == "/srv/staging"


def test_a_store_that_cannot_be_read_fails_the_import_and_the_others_remain() -> None:
    text = (
        f"{KEYSTONE}{DATABASE}[DEFAULT]\nenabled_backends = a:file,san:cinder\n[glance_store]\ndefault_backend = san\n"
    )
    outcome = imported(f"{text}[san]\ncinder_volume_type = fast\n")
    assert outcome.values["stores.default"] is None
    assert outcome.values["stores.backends.a.kind"] == "file"
    (reason,) = outcome.failing
    assert reason.startswith(
        "store san: this version of Glint cannot read stores of kind cinder; its images would not "
    )
    assert outcome.reasons("cinder_volume_type") == [
        "store san: this version of Glint cannot read stores of kind cinder"
    ]


S3 = """
s3_store_host = s3.example.org:7480
s3_store_access_key = glint
s3_store_secret_key = hunter2
s3_store_bucket = images
s3_store_region_name = rack-1
s3_store_create_bucket_on_put = true
s3_store_bucket_url_format = virtual
s3_store_large_object_size = 200
s3_store_large_object_chunk_size = 20
s3_store_thread_pools = 4
s3_store_cacert = /ca.pem
s3_store_enable_data_integrity_protection = true
"""


@pytest.mark.parametrize(
    ("text", "store"),
    [
        (f"[glance_store]\nstores = file,s3\ndefault_store = s3\n{S3}", "s3"),
        (f"[DEFAULT]\nenabled_backends = far:s3\n[glance_store]\ndefault_backend = far\n[far]\n{S3}", "far"),
    ],
)
def test_an_s3_store_keeps_its_bucket_and_its_habits(text: str, store: str) -> None:
    outcome = imported(text)
    key = f"stores.backends.{store}"
    assert {name.removeprefix(f"{key}."): value for name, value in outcome.values.items() if name.startswith(key)} == {
        "kind": "s3",
        "endpoint": "http://s3.example.org:7480",
        "access_key": "glint",
        "secret_key": "hunter2",
        "bucket": "images",
        "region": "rack-1",
        "create_bucket": True,
        "addressing": "virtual",
        "large_object_size": "200 MiB",
        "large_object_chunk_size": "20 MiB",
        "parts_max": 4,
        "ca_file": "/ca.pem",
    }
    assert outcome.values["stores.default"] == store
    assert "hunter2" not in repr(outcome.imported)
    assert outcome.reasons("s3_store_enable_data_integrity_protection")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("s3_store_host = ", "s3_store_host is not given, and an S3 store needs it"),
        ("s3_store_large_object_chunk_size = 4", "expected 5 megabytes or more"),
        ("s3_store_large_object_size = -1", "expected a number of megabytes"),
        ("s3_store_thread_pools = 0", "expected 1 or more"),
        ("s3_store_bucket_url_format = dns", "expected one of auto, path, virtual, subdomain"),
    ],
)
def test_what_glance_would_not_start_an_s3_store_with_fails_the_import(line: str, reason: str) -> None:
    name = line.split(maxsplit=1)[0]
    text = "\n".join(other for other in S3.splitlines() if not other.startswith(f"{name} "))
    outcome = imported(f"[glance_store]\nstores = file,s3\n{text}\n{line}\n")
    assert any(reason in failing for failing in outcome.failing)


CEPH = f"{KEYSTONE}{DATABASE}[DEFAULT]\nenabled_backends = ceph:rbd\n[glance_store]\ndefault_backend = ceph\n[ceph]\n"


def test_a_store_in_a_ceph_keeps_its_pool_its_user_and_its_time_outs() -> None:
    outcome = imported(
        f"{CEPH}rbd_store_pool = glance-images\nrbd_store_user = glance\nrbd_store_ceph_conf = /etc/ceph/east.conf\n"
        "rbd_store_chunk_size = 6\nrbd_thin_provisioning = true\nrados_connect_timeout = 5\n"
    )
    assert outcome.failing == []
    place = "stores.backends.ceph"
    assert {key.removeprefix(f"{place}."): value for key, value in outcome.values.items() if key.startswith(place)} == {
        "kind": "rbd",
        "pool": "glance-images",
        "user": "glance",
        "ceph_conf": "/etc/ceph/east.conf",
        "chunk_size": "4 MiB",  # the power of two that Glance takes
        "thin_provisioning": True,
        **dict.fromkeys(("connect_s", "mon_s", "osd_s"), 5),
    }
    assert outcome.values["stores.default"] == "ceph"


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("rbd_store_chunk_size = 64", "expected 1 to 32"),
        ("rados_connect_timeout = 0", "waits for no Ceph without end"),
        ("rados_connect_timeout = -1", "waits for no Ceph without end"),
    ],
)
def test_what_a_store_in_a_ceph_cannot_take_over_is_told(option: str, reason: str) -> None:
    (told,) = imported(f"{CEPH}{option}\n").reasons(option.partition(" ")[0])
    assert reason in told


def test_without_any_store_left_it_is_said_that_nothing_works() -> None:
    outcome = imported("[glance_store]\nstores = cinder\ndefault_store = cinder\n")
    assert "no store is left: nothing could be downloaded" in outcome.failing


def test_kinds_that_are_preferred_have_the_greater_weight() -> None:
    strategy = "[DEFAULT]\nlocation_strategy = store_type\n[store_type_location_strategy]\n"
    outcome = imported(f"{strategy}store_type_preference = http, filesystem\n[glance_store]\nstores = file,http\n")
    assert outcome.values["stores.backends.http.weight"] > outcome.values["stores.backends.file.weight"]


def test_options_of_the_older_form_count_for_nothing_beside_named_back_ends() -> None:
    outcome = imported(f"{NAMED}[glance_store]\nfilesystem_store_datadir = /srv/old\n")
    assert "/srv/old" not in outcome.values.values()
    assert outcome.reasons("filesystem_store_datadir") == [
        "[DEFAULT] enabled_backends is given, so Glance does not look at it"
    ]


def test_several_folders_stay_those_of_one_store() -> None:
    folders = "filesystem_store_datadirs = /a:1\nfilesystem_store_datadirs = /b:2\n"
    legacy = imported(f"[glance_store]\n{folders}")
    named = imported(f"[DEFAULT]\nenabled_backends = s:file\n[glance_store]\ndefault_backend = s\n[s]\n{folders}")
    assert not any("/a" in told for told in (*legacy.failing, *named.failing))
    both = [{"path": "/a", "priority": 1}, {"path": "/b", "priority": 2}]
    assert named.values["stores.backends.s.dirs"] == both
    assert legacy.values["stores.backends.file.dirs"] == both


def test_a_folder_that_is_given_twice_counts_once_if_it_is_meant_the_same() -> None:
    twice = "[glance_store]\nfilesystem_store_datadirs = /a:1\nfilesystem_store_datadirs = /a: 1\n"
    assert imported(twice).values["stores.backends.file.dirs"] == [{"path": "/a", "priority": 1}]
    assert "expected each folder once, such as /srv/images:10; left out" in imported(f"{twice[:-2]}2\n").reasons(
        "filesystem_store_datadirs"
    )


def test_the_login_may_stand_in_a_section_of_its_own() -> None:
    text = "[keystone_authtoken]\nauth_section = login\nusername = not me\n[login]\nusername = glance\nuser-name = x\n"
    outcome = imported(f"{text}password = hunter2\nauth_url = http://k\n")
    assert outcome.values["auth.keystone.username"] == "glance"
    assert outcome.values["auth.keystone.password"] == "hunter2"
    assert outcome.values["auth.keystone.auth_url"] == "http://k"


def test_the_address_that_is_said_best_counts() -> None:
    section = "[keystone_authtoken]\nidentity_uri = http://admin\nauth_uri = http://public\nauth_host = host\n"
    assert imported(section).values["auth.keystone.auth_url"] == "http://admin"
    assert imported(f"{section}auth_url = http://best\n").values["auth.keystone.auth_url"] == "http://best"
    assert imported(section).values["auth.keystone.www_authenticate_uri"] == "http://public"


def test_encryption_of_which_glint_knows_nothing_fails_the_import_where_it_is_used() -> None:
    files = "cafile = /own.pem\ninsecure = true\ncertfile = /c\nkeyfile = /k\n"
    encrypted = imported(f"[keystone_authtoken]\nauth_url = https://k\n{files}")
    plain = imported(f"[keystone_authtoken]\nauth_url = http://k\n{files}")
    assert len(encrypted.failing) == len(plain.failing) + 4


def test_without_authentication_glint_listens_on_loopback_and_says_that_it_does_not_work() -> None:
    outcome = imported(f"[DEFAULT]\nbind_host = 0.0.0.0\n{DATABASE}")
    assert outcome.values["server.host"] == "127.0.0.1"
    assert any("everyone is admin" in told for told in outcome.failing)


def test_a_memcached_that_cannot_be_spoken_to_is_left_out() -> None:
    servers = "[keystone_authtoken]\nmemcached_servers = a:1\n"
    assert imported(servers).assumed["token_cache.security_strategy"] == "none"
    encrypted = imported(f"{servers}memcache_tls_enabled = true\n")
    assert not any(key.startswith("token_cache.memcached") for key in encrypted.values)


def test_parameters_go_onto_the_url_of_the_database() -> None:
    outcome = imported(f"{DATABASE}connection_parameters = sslmode=require&a=b\n")
    assert outcome.values["registry.url"] == "postgresql://glance:hunter2@db/glance?sslmode=require&a=b"


def test_without_a_database_an_empty_registry_is_not_taken_for_the_glances() -> None:
    remote = imported(f"{KEYSTONE}[DEFAULT]\ndata_api = glance.db.registry.api\nregistry_host = r\n")
    assert any("the registry of Glance is gone: name the database" in told for told in remote.failing)
    assert imported(KEYSTONE).failing == [
        "[database] connection is not given: Glint would begin with an empty registry of its own"
    ]


def test_a_policy_file_beside_is_found_unasked_the_newer_form_first() -> None:
    both = imported("", beside={"policy.yaml": "", "policy.json": "", "schema-image.json": ""})
    assert both.assumed["api.policy_file"] == "/etc/glance/policy.yaml"
    assert both.assumed["api.image_schema_file"] == "/etc/glance/schema-image.json"
    assert imported("", beside={"policy.json": ""}).assumed["api.policy_file"] == "/etc/glance/policy.json"
    assert "api.policy_file" not in imported("").assumed


def test_rules_in_a_folder_that_glance_reads_unasked_are_told() -> None:
    outcome = imported("", beside={"policy.d/more.yaml": ""})
    assert any("put the rules of /etc/glance/policy.d/more.yaml into it" in told for told in outcome.failing)


def test_an_option_of_no_glance_is_told_and_harms_nothing() -> None:
    outcome = imported(f"{KEYSTONE}{DATABASE}[DEFAULT]\nfrobnicate = 1\n[nova]\nx = y\n")
    assert outcome.reasons("frobnicate") == outcome.reasons("x") == ["no Glance reads an option of this name"]
    assert outcome.failing == []


def test_texts_of_secrets_are_in_no_repr() -> None:
    (said,) = parse("[database]\nconnection = mysql://u:hunter2@h/d\n", "x")
    assert "hunter2" not in repr(said)
