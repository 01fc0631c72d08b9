"""From check strings to functions. The language is oslo.policy's and so is the parser; only the evaluation is ours.

oslo.policy looks at the signature of every check each time it is called, which costs more than the checks themselves
(110-190 us for `get_image` of an ordinary user, here 3-6 us). A test holds both side by side on random rules.
"""

import ast
import logging
from collections.abc import Callable, Mapping
from typing import Any

from oslo_policy import _checks as checks
from oslo_policy import policy as oslo

# The parser prints a trace for what it cannot read; RulesBroken says it in one line.
logging.getLogger("oslo_policy._parser").setLevel(logging.CRITICAL)

Target = Mapping[str, Any]
Credentials = Mapping[str, Any]
Decide = Callable[[Target, Credentials], bool]


class RulesBroken(Exception):
    """Some rules cannot be followed. `problems` names each with what is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Broken(Exception):
    """What is wrong with the rule that is being compiled."""


def compile_rules(texts: Mapping[str, str]) -> dict[str, Decide]:
    """One function per rule. Raises RulesBroken, naming all rules that cannot be followed.

    oslo.policy would take a mistake for "never" or, for a rule that refers to an unknown one, for the `default` rule,
    which allows everything: here both are errors, so that a slip of the pen neither locks out nor lets in.
    """
    parsed = oslo.Rules.from_dict(dict(texts))
    decisions: dict[str, Decide] = {}
    problems: list[str] = []
    for name, text in texts.items():
        try:
            if _count_false(parsed[name]) != sum(word.strip("()") == "!" for word in text.split()):
                raise _Broken(f"{text!r} is no check string")  # noqa: TRY301 - the loop collects all of them
            _refuse_cycles(name, parsed, (name,))
            decisions[name] = _compile(parsed[name], decisions)
        except _Broken as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise RulesBroken(problems)
    return decisions


def _children(check: Any) -> list[Any]:
    match check:
        case checks.AndCheck() | checks.OrCheck():
            return list(check.rules)
        case checks.NotCheck():
            return [check.rule]
        case _:
            return []


def _count_false(check: Any) -> int:
    """Every part that the parser could not read has become "!"."""
    return isinstance(check, checks.FalseCheck) + sum(map(_count_false, _children(check)))


def _refuse_cycles(name: str, parsed: Mapping[str, Any], path: tuple[str, ...], check: Any = None) -> None:
    check = parsed[name] if check is None else check
    if isinstance(check, checks.RuleCheck):
        if dict.get(parsed, check.match) is None:  # type: ignore[call-overload]  # Rules would answer with its default
            raise _Broken(f"there is no rule {check.match!r}")
        if check.match in path:
            raise _Broken("refers to itself: " + " -> ".join((*path, check.match)))
        _refuse_cycles(check.match, parsed, (*path, check.match))
    for child in _children(check):
        _refuse_cycles(name, parsed, path, child)


def _compile(check: Any, decisions: Mapping[str, Decide]) -> Decide:
    """`decisions` is looked into when the result is called: by then it holds every rule."""
    match check:
        case checks.AndCheck():
            return _all(tuple(_compile(part, decisions) for part in check.rules))
        case checks.OrCheck():
            return _any(tuple(_compile(part, decisions) for part in check.rules))
        case checks.NotCheck():
            inner = _compile(check.rule, decisions)
            return lambda target, credentials: not inner(target, credentials)
        case checks.RuleCheck():
            return _reference(check.match, decisions)
        case _:
            return _compile_leaf(check)


def _compile_leaf(check: Any) -> Decide:
    match check:
        case checks.TrueCheck():
            return lambda _target, _credentials: True
        case checks.FalseCheck():
            return lambda _target, _credentials: False
        case checks.RoleCheck():
            return _role(_template(check.match))
        case checks.GenericCheck():
            return _generic(check.kind, _template(check.match))
        case _:
            # Remote checks (http:, https:) would ask another server in the middle of a request, once per image.
            raise _Broken(f"checks of the kind {getattr(check, 'kind', type(check).__name__)!r} are not supported")


def _reference(name: str, decisions: Mapping[str, Decide]) -> Decide:
    def decide(target: Target, credentials: Credentials) -> bool:
        return decisions[name](target, credentials)

    return decide


def _all(parts: tuple[Decide, ...]) -> Decide:
    def decide(target: Target, credentials: Credentials) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs as much again as the loop
            if not part(target, credentials):
                return False
        return True

    return decide


def _any(parts: tuple[Decide, ...]) -> Decide:
    def decide(target: Target, credentials: Credentials) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs as much again as the loop
            if part(target, credentials):
                return True
        return False

    return decide


class _Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def _template(text: str) -> Callable[[Target], str]:
    """The right side of a check, filled in from the target. Calling it raises KeyError for an unknown attribute."""
    if "%" not in text:
        return lambda _target: text
    try:
        text % _Anything()
    except (TypeError, ValueError) as error:
        raise _Broken(f"{text!r} cannot be filled in: {error}") from error
    name = text[2:-2]
    if text == f"%({name})s" and "%" not in name and ")" not in name:
        return lambda target: str(target[name])
    return lambda target: text % target


def _role(template: Callable[[Target], str]) -> Decide:
    def decide(target: Target, credentials: Credentials) -> bool:
        try:
            return template(target).lower() in credentials["roles"]
        except KeyError:
            return False

    return decide


def _generic(kind: str, template: Callable[[Target], str]) -> Decide:
    """`kind` is a literal ('public', True) or the name of a credential, `user.domain` being one in another."""
    try:
        literal = str(ast.literal_eval(kind))
    except ValueError:
        return _credential(kind.split("."), template)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise _Broken(f"{kind!r} is neither a literal nor a name") from error

    def decide(target: Target, credentials: Credentials) -> bool:
        try:
            return template(target) == literal
        except KeyError:
            return False

    return decide


def _credential(path: list[str], template: Callable[[Target], str]) -> Decide:
    def decide(target: Target, credentials: Credentials) -> bool:
        try:
            return _found(credentials, path, template(target))
        except (KeyError, TypeError):
            return False

    return decide


def _found(value: Any, path: list[str], wanted: str) -> bool:
    if not path:
        return wanted == str(value)
    inner = value[path[0]]
    if isinstance(inner, list):
        return any(_found(one, path[1:], wanted) for one in inner)
    return _found(inner, path[1:], wanted)
