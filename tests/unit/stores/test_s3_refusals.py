"""What an S3 store's refusals mean."""

from datetime import UTC, datetime

import pytest

from upstream.errors import DataNotFound, Denied, Duplicate, Invalid, StoreFull, Unavailable
from upstream.stores.s3.refusals import code_of, refusal

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", DataNotFound),
        (404, "NoSuchBucket", DataNotFound),
        (404, "404", DataNotFound),  # of HEAD, which has no body
        (404, "", DataNotFound),
        (404, "NoSuchUpload", Unavailable),
        (403, "SignatureDoesNotMatch", Denied),
        (403, "InvalidAccessKeyId", Denied),
        (403, "AccessDenied", Denied),
        (403, "403", Denied),
        (403, "RequestTimeTooSkewed", Denied),
        (400, "AuthorizationHeaderMalformed", Denied),
        (301, "PermanentRedirect", Denied),
        (403, "QuotaExceeded", StoreFull),
        (400, "EntityTooLarge", StoreFull),
        (507, "", StoreFull),
        (503, "SlowDown", Unavailable),
        (500, "InternalError", Unavailable),
        (200, "InternalError", Unavailable),  # of CompleteMultipartUpload
        (400, "RequestTimeout", Unavailable),
        (412, "PreconditionFailed", Duplicate),
        (409, "ConditionalRequestConflict", Duplicate),
        (400, "InvalidBucketName", Invalid),
    ],
)
def test_each_refusal_is_named_for_what_happened(status: int, code: str, expected: type[Exception]) -> None:
    error = refusal("aws", status, code, {}, NOW)
    assert type(error) is expected
    assert "aws" in str(error)


def test_the_store_says_when_to_come_back() -> None:
    error = refusal("aws", 503, "SlowDown", {"Retry-After": "7"}, NOW)
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 7


def test_the_code_is_read_out_of_whatever_was_sent() -> None:
    assert (
        code_of(b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Resource>/b/k</Resource></Error>") == "NoSuchKey"
    )
    assert code_of(b"<html>Bad gateway</html>") == ""
