"""What an S3 store's refusals mean. Pure.

Source: the error codes of the S3 API; what Swift's s3api and Ceph's gateway answer of them.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from upstream.errors import DataNotFound, Denied, Duplicate, Invalid, StoreFull, Unavailable, UpstreamError
from upstream.retry import retry_after_s

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,100})</Code>")
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchVersion"})
_FULL = frozenset({"EntityTooLarge", "QuotaExceeded", "InsufficientStorage", "InsufficientCapacity"})
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_DENIED: Mapping[str, str] = MappingProxyType(
    {
        "InvalidAccessKeyId": "it does not know the access key",
        "SignatureDoesNotMatch": "the secret key is wrong",
        "AccessDenied": "the keys may not do this",
        "RequestTimeTooSkewed": "its clock and ours differ too much",
        "AuthorizationHeaderMalformed": "the signature does not fit, perhaps for another region",
        "PermanentRedirect": "the bucket lies in another region or at another endpoint",
        "InvalidObjectState": "the object lies in an archive and has to be restored first",
    }
)
_AGAIN = frozenset({"SlowDown", "RequestTimeout", "OperationAborted", "InternalError", "NoSuchUpload", "BadDigest"})


def code_of(body: bytes) -> str:
    """The code of an error document; empty if there is none."""
    match = _CODE.search(body)
    return match[1].decode() if match else ""


def refusal(store_id: str, status: int, code: str, headers: Mapping[str, str], now: datetime) -> UpstreamError:
    """The error for an answer that is not what a good one is. `code` is empty, or the status, after HEAD."""
    told = f"{status} {code}" if code and code != str(status) else str(status)
    if code in _MISSING or (status == 404 and code in {"", "404"}):
        return DataNotFound(store_id)
    if code in _FULL or status in {413, 507}:
        return StoreFull(f"{store_id} has no room for this image ({told})")
    if code in _AGAIN or status in {404, 408, 429} or status >= 500:
        return Unavailable(store_id, f"it answered {told}", retry_after_s(headers.get("Retry-After"), now))
    if code in _TAKEN or status == 412:
        return Duplicate(f"{store_id} already has data for this image")
    if code in _DENIED or 300 <= status < 400 or status in {401, 403}:
        return Denied(f"{store_id} refuses: {_DENIED.get(code, 'it does not say why')} ({told})")
    return Invalid(f"{store_id} answered {told}")
