"""Who may do what: oslo.policy's rules with Glance's names and defaults, changed by a policy file."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from oslo_policy import policy as oslo

from proxy.errors import Forbidden
from proxy.operator_files import FileBroken, read_operator_file
from proxy.policy.checks import Credentials, Decide, RulesBroken, Target, compile_rules
from proxy.policy.rules import ADMIN_RULE, OLD_DEFAULTS, OPERATIONS, OWNERS_ALONE, RULES
from upstream.types import Context, Image

log = structlog.get_logger(__name__)

_Signature = tuple[int, int, int]


class PolicyFileBroken(FileBroken):
    what = "policy file"


class Policy:
    """The rules in force. Asking reads memory only; `watch` follows the file.

    Making one reads the file and takes some tens of milliseconds: from a coroutine, by `asyncio.to_thread`.
    Raises PolicyFileBroken.
    """

    def __init__(
        self, policy_file: Path | None = None, *, enforce_scope: bool = True, enforce_new_defaults: bool = True
    ) -> None:
        self._path = policy_file
        self._enforces_scope, self._knows_roles = enforce_scope, enforce_new_defaults
        self._defaults = RULES if enforce_new_defaults else _with_old_defaults()
        self._seen = _signature(policy_file)
        self._rules = _load(policy_file, self._defaults)
        self._kept: frozenset[str] = frozenset()
        self.generation = 0  # grows when the rules change; who keeps an answer keeps this beside it

    def allows(self, rule: str, context: Context, target: Target) -> bool:
        """Whether `context` may do what `rule` is named for to `target`, which comes from `image_target`.

        As in Glance, tokens of a domain or of the system may do nothing that belongs to projects, unless
        `api.enforce_scope` says otherwise.
        """
        assert rule in self._rules, rule
        if (context.system_scope or context.domain_id) and rule in OPERATIONS and self._enforces_scope:
            return False
        return self._rules[rule](target, _credentials(context))

    def enforce(self, rule: str, context: Context, target: Target) -> None:
        """Raises Forbidden if the policy does not allow it."""
        if not self.allows(rule, context, target):
            raise Forbidden(f"You are not authorized to complete {rule} action.")

    def enforce_ownership(self, rule: str, context: Context, image: Image) -> None:
        """What the old defaults leave to the code: with them, only its owner changes an image. Raises Forbidden."""
        if self._knows_roles or context.is_admin:
            return
        is_owner = image.owner is not None and image.owner == context.project_id
        if rule in OWNERS_ALONE and not is_owner:
            raise Forbidden(OWNERS_ALONE[rule])
        if rule == "modify_member" and image.owner == context.project_id:
            raise Forbidden("You are not permitted to modify 'status' on this image member.")

    def enforce_own_project(self, context: Context, owner: str | None) -> None:
        """The same for an image that is to be created. Raises Forbidden."""
        if not self._knows_roles and not context.is_admin and owner != context.project_id:
            raise Forbidden(f"You are not permitted to create images owned by '{owner}'.")

    def keep(self, names: Collection[str]) -> Sequence[str]:
        """Let no later policy file do without these rules. Returns those that there are none of now."""
        self._kept |= frozenset(names)
        return sorted(self._kept - self._rules.keys())

    def holds(self, rule: str, context: Context) -> bool:
        """Whether a rule holds that was given to `keep`. It is asked of no target, and for every scope."""
        return self._rules[rule]({}, _credentials(context))

    def is_admin(self, context: Context) -> bool:
        """What `Context.is_admin` is to be: the answer to `context_is_admin`."""
        return self.allows(ADMIN_RULE, context, _credentials(context))

    async def watch(self, poll_s: float = 1.0) -> None:
        """Follow the policy file until cancelled; without a file, return at once.

        A broken file changes nothing and is logged once per change: the rules before it stay in force.
        """
        while self._path is not None:
            await asyncio.sleep(poll_s)
            signature = await asyncio.to_thread(_signature, self._path)
            if signature == self._seen:
                continue
            self._seen = signature
            try:
                rules = await asyncio.to_thread(_load, self._path, self._defaults, self._kept)
            except PolicyFileBroken as error:
                log.error("policy.broken", path=str(self._path), problems=error.problems)
                continue
            self._rules, self.generation = rules, self.generation + 1
            log.info("policy.reloaded", path=str(self._path))


def image_target(image: Image) -> Target:
    """What rules may say about an image: its attributes by the API's names, and its custom properties.

    An attribute wins over a property of the same name. Locations are left out, as in Glance.
    Source: glance/api/policy.py, ImageTarget.
    """
    return _ImageTarget(image)


class _ImageTarget(Mapping[str, Any]):
    """Looks up what it is asked for: rules ask for one or two of it."""

    __slots__ = ("_image",)

    def __init__(self, image: Image) -> None:
        self._image = image

    def __getitem__(self, name: str) -> Any:
        field = _TARGET.get(name)
        return self._image.properties[name] if field is None else getattr(self._image, field)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._image.properties, **_TARGET})

    def __len__(self) -> int:
        return len({**self._image.properties, **_TARGET})


# Names that rules use, and the fields of Image that they mean.
_TARGET: Mapping[str, str] = {
    "id": "id",
    "image_id": "id",
    "project_id": "owner",
    "owner": "owner",
    "member_id": "member",
    "member": "member",
    "name": "name",
    "status": "status",
    "visibility": "visibility",
    "disk_format": "disk_format",
    "container_format": "container_format",
    "size": "size_bytes",
    "virtual_size": "virtual_size_bytes",
    "checksum": "checksum",
    "os_hash_algo": "os_hash_algo",
    "os_hash_value": "os_hash_value",
    "min_disk": "min_disk_gib",
    "min_ram": "min_ram_mib",
    "protected": "protected",
    "os_hidden": "os_hidden",
    "tags": "tags",
    "created_at": "created_at",
    "updated_at": "updated_at",
}


def _credentials(context: Context) -> Credentials:
    """Under oslo.context's names, which policy files use. The token is not among them."""
    return {
        "user_id": context.user_id,
        "user_domain_id": context.user_domain_id,
        "project_id": context.project_id,
        "project_domain_id": context.project_domain_id,
        "domain_id": context.domain_id,
        "system_scope": context.system_scope,
        "roles": list(context.roles),
        "service_roles": list(context.service_roles),
    }


def _signature(path: Path | None) -> _Signature | None:
    """Changes when the file does. None: there is no file to look at."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)


def _with_old_defaults() -> Mapping[str, str]:
    """Either is enough. Source: oslo_policy/policy.py, Enforcer._handle_deprecated_rule."""
    return {**RULES, **{name: f"({RULES[name]}) or {old}" for name, old in OLD_DEFAULTS.items()}}


def _load(path: Path | None, defaults: Mapping[str, str], kept: frozenset[str] = frozenset()) -> Mapping[str, Decide]:
    """The defaults, and what the file says in their place or beside them; all of `kept`. Raises PolicyFileBroken."""
    if path is None:
        return compile_rules(defaults)
    data = read_operator_file(path, PolicyFileBroken)
    try:
        written = oslo.parse_file_contents(data)
    except Exception as error:  # a YAML parser raises anything for nonsense: KeyError for `!!bool maybe`, say
        raise PolicyFileBroken(path, [f"is no YAML: {error}"]) from error
    if not isinstance(written, dict):
        raise PolicyFileBroken(path, ['expected lines such as "get_image": "role:reader"'])
    problems = [
        f'{name}: expected a check string such as "role:admin", got {text!r}'
        for name, text in written.items()
        if not isinstance(name, str) or not isinstance(text, str)
    ]
    problems += [f"{name}: a property protection needs this rule" for name in sorted(kept - {*defaults, *written})]
    if problems:
        raise PolicyFileBroken(path, problems)
    try:
        return compile_rules({**defaults, **written})
    except RulesBroken as error:
        raise PolicyFileBroken(path, error.problems) from error
    except RecursionError as error:
        raise PolicyFileBroken(path, ["its rules are nested too deeply"]) from error
