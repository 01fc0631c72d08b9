"""Images with a signature, where no key manager has the certificate that it would be verified by."""

from typing import Any

from tests.parity.cases.staging import image_import, stage
from tests.parity.model import NOBODY, Case, case, create, create_raw, delete, patch, remove, show, show_when, upload

_SIGNED: dict[str, Any] = {
    "img_signature": "YWJj",
    "img_signature_hash_method": "SHA-256",
    "img_signature_key_type": "RSA-PSS",
    "img_signature_certificate_uuid": NOBODY,
}

CASES: tuple[Case, ...] = (
    case(
        "data of a signed image",
        create_raw(**_SIGNED),
        upload(),
        show(),
        patch(remove("/img_signature")),
        upload(),
        show(),
    ),
    *(
        case(f"a signature with {name}", create_raw(**{**_SIGNED, name: value}), upload(), show())
        for name, value in (
            ("img_signature", "*"),
            ("img_signature_hash_method", "none"),
            ("img_signature_key_type", "none"),
            ("img_signature_certificate_uuid", "none"),
        )
    ),
    case(
        "an import of a signed image",
        create_raw(**_SIGNED),
        image_import("web-download", uri="{origin}/blob"),
        show_when(os_glance_failed_import="file"),
    ),
    case(
        "staged data of a signed image",
        create_raw(**_SIGNED),
        stage(b"abc"),
        image_import("glance-direct"),
        show_when(os_glance_failed_import="file"),
    ),
    case(
        "an image with a key that is to go with it",
        create(cinder_encryption_key_id=NOBODY, cinder_encryption_key_deletion_policy="on_image_deletion"),
        delete(),
        show(),
    ),
)
