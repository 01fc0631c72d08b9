"""What of a value is fit for a terminal. Pure."""

import re

MASK = "***"
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?($|_)|secret|(^|_|-)keys?$|credential|(^|_)token$|user_?file|proxy_info", re.ASCII
)
_USER_INFO = re.compile(r"(?<=://).*@")  # to the last @: passwords hold what they like
_PARAMETER = re.compile(r"(?<=[?&])([^=&\s]*(?:pass|secret|key|token)[^=&\s]*)=[^&\s]*", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether an option of this name may hold a secret, known or not."""
    return bool(_SECRET_NAME.search(name.lower()))


def masked(text: str, *, secret: bool = False) -> str:
    """Secrets as stars, and those within URLs."""
    if secret and "://" not in text:
        return MASK if text else text
    return _PARAMETER.sub(rf"\1={MASK}", _USER_INFO.sub(f"{MASK}@", text))
