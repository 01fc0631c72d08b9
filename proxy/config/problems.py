"""What is wrong with a configuration, in sentences: where, what was expected, what was there instead; no secrets."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

from proxy.config.sections import Config

_SECRET_WORDS = ("password", "secret", "key", "url", "http_proxy", "https_proxy")
_NAME_A_KEY = ("value_error", "union_tag_invalid")
_KEY_AHEAD = re.compile(r"[a-z_]+(\.[a-z_]+)*: ")

_SIZE = 'expected a size such as "20 GiB"'
_NETWORK = "expected a network such as 10.0.0.0/8"
_EXPECTED = {
    "missing": "required, but not given",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "int_type": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "string_type": "expected a text",
    "tuple_type": "expected a list, such as [one, two]",
    "byte_size": _SIZE,
    "byte_size_unit": _SIZE,
    "ip_v4_network": _NETWORK,
    "ip_v6_network": _NETWORK,
    "model_type": "expected a section with keys of its own",
    "dict_type": "expected a section with keys of its own",
    "model_attributes_type": "expected a section with keys of its own",
    "union_tag_not_found": "kind is required, but not given",
}


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are whole sentences, one for each thing to mend."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def sentence(details: ErrorDetails) -> str:
    """One problem in our words: where, what was expected, what was there instead."""
    location = _path(details["loc"])
    # A null in the file where a value must be is the same as no key.
    kind = "missing" if details["input"] is None and details["type"].endswith("_type") else details["type"]
    expected = _expected(kind, details)
    if not location:
        return expected
    if kind in _NAME_A_KEY and _KEY_AHEAD.match(expected):
        return f"{location}.{expected}"
    # A section may hold secrets, whatever its own name is.
    is_told = kind not in ("missing", "value_error", "extra_forbidden", "union_tag_not_found", "union_tag_invalid")
    is_open = not isinstance(details["input"], dict | list) and not any(word in location for word in _SECRET_WORDS)
    if not (is_told and is_open):
        return f"{location}: {expected}"
    got = "null" if details["input"] is None else repr(details["input"])
    return f"{location}: {expected}, got {got}"


def _expected(kind: str, details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    expectations = _EXPECTED | {
        "extra_forbidden": "unknown key" + _suggestion(details["loc"]),
        "literal_error": f"expected {context.get('expected')}",
        "value_error": str(context.get("error", details["msg"])),
        "union_tag_invalid": f"kind: expected one of {context.get('expected_tags')}, got {context.get('tag')!r}",
        "less_than_equal": f"expected at most {context.get('le')}",
        "less_than": f"expected less than {context.get('lt')}",
        "greater_than_equal": f"expected at least {context.get('ge')}",
        "greater_than": f"expected more than {context.get('gt')}",
        "string_pattern_mismatch": f"expected a text that matches {context.get('pattern')}",
    }
    return expectations.get(kind, details["msg"][:1].lower() + details["msg"][1:])


def _path(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location]
    if parts[:2] == ["stores", "backends"] and len(parts) > 4:
        del parts[3]  # the kind, which pydantic names to tell which model it tried
    # So does it with the choices of a union, and says [key] where a name is meant and not what has it.
    return ".".join(part for part in parts if not part.endswith("]"))


def _suggestion(location: tuple[int | str, ...]) -> str:
    if not location:
        return ""
    model: Any = Config
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(str(part))
        model = field.annotation if field else None
    close = difflib.get_close_matches(str(location[-1]), getattr(model, "model_fields", {}), n=1)
    return f"; did you mean {close[0]}?" if close else ""
