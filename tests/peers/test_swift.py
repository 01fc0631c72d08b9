"""The real Swift does what the tests that stand on it take for granted."""

import http.client
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers import Swift, SwiftFailed, SwiftOptions


@contextmanager
def a_container(swift: Swift) -> Iterator[str]:
    name = f"peer-{uuid.uuid4().hex[:8]}"
    swift.api.make_container(name)
    yield name
    swift.api.empty(name)
    swift.api.call("DELETE", name)


def test_objects_manifests_and_segments_are_all_listed(swift: Swift) -> None:
    with a_container(swift) as container:
        swift.api.put(container, "o-00001", b"abc")
        swift.api.put(container, "o-00002", b"def")
        swift.api.put(container, "o", b"", {"X-Object-Manifest": f"{container}/o-"})

        assert swift.api.get(container, "o") == b"abcdef"
        assert swift.api.names(container) == ["o", "o-00001", "o-00002"]
        assert container in swift.api.containers()


def test_keystone_swift_lies_in_the_catalogue_and_takes_its_tokens(keystone_swift: Swift) -> None:
    keystone = keystone_swift.keystone
    assert keystone is not None
    with a_container(keystone_swift) as container:
        keystone_swift.api.put(container, "o", b"abc")
        keystone_swift.forget_tokens()

        assert keystone_swift.api.get(container, "o") == b"abc"
        with pytest.raises(SwiftFailed, match="403"):
            keystone_swift.api.plain(
                "GET",
                f"/v1/{keystone_swift.api.account}/{container}/o",
                headers={"X-Auth-Token": keystone.token("alt")},
            )


@pytest.mark.long
def test_only_the_object_server_can_be_frozen_or_die(tmp_path: Path) -> None:
    """And what a Swift was told of limits and times holds."""
    options = SwiftOptions(max_file_size=10, token_life_s=3600, node_timeout_s=0.5)
    with Swift(tmp_path, options=options) as swift, a_container(swift) as container:
        swift.api.put(container, "o", b"0123456789")
        with pytest.raises(SwiftFailed, match="413"):
            swift.api.put(container, "o", b"0123456789a")
        with swift.objects.frozen():
            assert "o" in swift.api.names(container)
            with pytest.raises(SwiftFailed, match="503"):
                swift.api.get(container, "o")
        assert swift.api.get(container, "o") == b"0123456789"
        with swift.objects.killed(), pytest.raises(SwiftFailed, match="503"):
            swift.api.get(container, "o")
        assert swift.api.get(container, "o") == b"0123456789"

        swift.stop()
        swift.start()

        assert swift.api.get(container, "o") == b"0123456789"


def test_s3_knows_the_keys_of_both_kinds_of_account(swift: Swift, keystone_swift: Swift) -> None:
    for server in (swift, keystone_swift):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/", headers={"Authorization": f"AWS {server.s3.access}:wrong"})
        answer = connection.getresponse()
        assert (answer.status, b"<Error>" in answer.read()) == (403, True)
        connection.close()
