"""Locations of S3 stores: what Glance wrote is read, and no key of a row gets anywhere."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstream.errors import Invalid
from upstream.stores.s3.uris import Endpoint, check_image_id, located, own_prefixes, parse_s3, s3_url, without_keys

HTTPS = Endpoint.of("https://s3.example.org")
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=40)
HOSTS = st.builds(lambda name, port: f"{name}.example.org{port}", NAMES, st.sampled_from(["", ":7480"]))
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(scheme=st.sampled_from(["s3", "s3+http", "s3+https"]), host=HOSTS, bucket=NAMES, key=NAMES, secret=SECRETS)
def test_whatever_keys_a_row_holds_its_object_is_found_and_they_are_gone(
    scheme: str, host: str, bucket: str, key: str, secret: str
) -> None:
    plain = f"{scheme}://{host}/{bucket}/{key}"
    keyed = f"{scheme}://AKIA:{secret}@{host}/{bucket}/{key}"

    assert parse_s3(keyed) == parse_s3(plain)
    assert (parse_s3(plain).netloc, parse_s3(plain).bucket, parse_s3(plain).key) == (host, bucket, key)
    assert without_keys(keyed) == without_keys(plain) == plain


@given(st.text())
def test_no_text_is_more_than_invalid(text: str) -> None:
    for url in (text, f"s3://{text}", f"s3+https://a:b@{text}"):
        without_keys(url)
        with suppress(Invalid):
            parse_s3(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://host",
        "s3://host/bucket",
        "s3://host/bucket/",
        "s3://host//key",
        "s3://host/prefix/bucket/key",
        "s3://https://host/bucket/key",
        "s3://AKIA:hunter2@https://host/bucket/key",
        "s3://host/bucket/key?versionId=1",
        "s3://host/bucket/key#part",
        "s3://host/buc ket/key",
        "s3://ho:st:80/bucket/key",
        "s3+ftp://host/bucket/key",
        "swift://host/bucket/key",
        "",
    ],
)
def test_what_names_no_object_is_invalid_and_its_text_is_not_repeated(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_s3(url)
    assert "hunter2" not in str(caught.value)


def test_even_a_row_that_names_no_object_shows_no_keys() -> None:
    assert without_keys("s3://AKIA:hun/ter2@host") == "s3://host"
    assert without_keys("https://user:kept@host/x") == "https://user:kept@host/x"


def test_new_rows_have_glances_form() -> None:
    """Source: glance_store/_drivers/s3.py, process_specs and get_uri."""
    assert s3_url(HTTPS, "glance", "id") == "s3+https://s3.example.org/glance/id"
    assert s3_url(Endpoint.of("http://192.0.2.7:7480/"), "glance", "id") == "s3://192.0.2.7:7480/glance/id"


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("s3+https://s3.example.org/b/k", True),
        ("s3+https://S3.example.ORG:443/b/k", True),
        ("s3://old:key@s3.example.org/b/k", True),  # from before TLS
        ("s3+https://s3.example.org:8443/b/k", False),
        ("s3+https://elsewhere.example.org/b/k", False),
        ("s3+https://s3.example.org.evil.example/b/k", False),
    ],
)
def test_only_rows_of_the_configured_endpoint_are_read(url: str, *, is_here: bool) -> None:
    if is_here:
        assert located("aws", HTTPS, url).key == "k"
        return
    with pytest.raises(Invalid, match="at another endpoint than the one that store aws is configured for"):
        located("aws", HTTPS, url)


@pytest.mark.parametrize(
    "text",
    ["s3.example.org", "ftp://h", "https://", "https://k:s@h", "https://h/path", "https://h:99999", "https://h?q"],
)
def test_what_is_no_endpoint_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        Endpoint.of(text)


def test_an_object_is_asked_for_by_path_or_by_the_buckets_own_host() -> None:
    at = Endpoint.of("http://localhost:7480")
    assert at.object_url("glance", "a b", is_virtual=False) == "http://localhost:7480/glance/a%20b"
    assert at.object_url("glance", "a~b", is_virtual=True) == "http://glance.localhost:7480/a~b"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("s3.amazonaws.com", None),
        ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_amazons_host_names_say_their_region(host: str, region: str | None) -> None:
    endpoint = Endpoint.of(f"https://{host}")
    assert endpoint.is_amazon
    assert endpoint.region == region
    assert not HTTPS.is_amazon


def test_a_store_owns_the_rows_of_its_bucket_under_each_scheme() -> None:
    assert "s3+https://s3.example.org/glance/" in own_prefixes(HTTPS, "glance")
    assert len(own_prefixes(HTTPS, "glance")) == 3


@pytest.mark.parametrize("image_id", ["", ".", ".x", "a/b", "a\0b", "a b", "a?b", "a@b", "x" * 300])
def test_an_id_that_a_row_could_not_tell_is_invalid(image_id: str) -> None:
    with pytest.raises(Invalid):
        check_image_id(image_id)


def test_a_uuid_is_a_name() -> None:
    check_image_id("8f1f5a0e-0000-4000-8000-000000000001")
