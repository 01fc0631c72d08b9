"""A certificate for 127.0.0.1 that clients of a test may trust."""

import subprocess
from pathlib import Path


def self_signed(folder: Path) -> tuple[str, str]:
    """The files of a certificate and its key. Blocks."""
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*command, "-days", "1", *subject, "-out", certificate, "-keyout", key], check=True, capture_output=True
    )
    return certificate, key
