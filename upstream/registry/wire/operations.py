"""What can be asked of a registry from afar: all that its Protocols declare, in one table that is read out of them."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from upstream.registry.base import Registry
from upstream.registry.wire.codec import Codec, Unreadable, codec
from upstream.types import Context

_READS = frozenset(
    {"all", "check", "definitions", "due", "export", "get", "list", "of", "of_image", "page", "pending", "stale"}
)
"""Methods that may be called twice for once: they change nothing that a second call would change again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one resource. The context is no argument here: it travels as headers."""

    name: str  # such as images.get, or metadefs.tags.page
    signature: inspect.Signature
    parameters: Mapping[str, Codec]
    result: Codec
    takes_context: bool
    is_read: bool

    def pack(self, *args: Any, **kwargs: Any) -> tuple[Context | None, Mapping[str, Any]]:
        """Who asks, and the arguments as a document. Raises Unreadable."""
        given = self.signature.bind(*args, **kwargs).arguments
        context = given.pop("context", None)
        return context, {name: self.parameters[name].encode(value) for name, value in given.items()}

    def unpack(self, document: Any) -> dict[str, Any]:
        """The arguments, by name. Raises Unreadable."""
        if not isinstance(document, dict):
            raise Unreadable("expected an object of arguments")
        if unknown := document.keys() - self.parameters.keys():
            raise Unreadable(f"{self.name} takes no {', '.join(sorted(unknown))}")
        arguments = {name: self.parameters[name].decode(value) for name, value in document.items()}
        for name in self.parameters:
            if name not in arguments and self.signature.parameters[name].default is inspect.Parameter.empty:
                raise Unreadable(f"{self.name} needs {name}")
        return arguments

    async def call(self, registry: Registry, context: Context, arguments: Mapping[str, Any]) -> Any:
        """Raises what the registry raises."""
        method = attrgetter(self.name)(registry)
        return await (method(context, **arguments) if self.takes_context else method(**arguments))


def _operations(protocol: Any, path: str, meant: Mapping[Any, Any]) -> Iterator[Operation]:
    for name in sorted(dir(protocol)):
        member = inspect.getattr_static(protocol, name)
        if isinstance(member, property):
            inner = get_type_hints(member.fget)["return"]
            yield from _operations(get_origin(inner) or inner, f"{path}{name}.", _meanings(inner))
        elif inspect.iscoroutinefunction(member):
            yield _operation(member, f"{path}{name}", meant)


def _operation(method: Any, name: str, meant: Mapping[Any, Any]) -> Operation:
    hints = {each: _meant(hint, meant) for each, hint in get_type_hints(method).items()}
    signature = inspect.signature(method)
    signature = signature.replace(parameters=[each for key, each in signature.parameters.items() if key != "self"])
    return Operation(
        name=name,
        signature=signature,
        parameters={each: codec(hints[each]) for each in signature.parameters if each != "context"},
        result=codec(hints["return"], tolerant=True),
        takes_context="context" in signature.parameters,
        is_read=name.rpartition(".")[2] in _READS,
    )


def _meanings(kind: Any) -> Mapping[Any, Any]:
    """What the type variables of a Protocol stand for, here or in what it is made of."""
    aliases = [kind, *getattr(kind, "__orig_bases__", ())]
    generic = [each for each in aliases if hasattr(get_origin(each), "__parameters__")]
    return {
        variable: argument
        for each in generic
        for variable, argument in zip(get_origin(each).__parameters__, get_args(each), strict=False)
    }


def _meant(hint: Any, meant: Mapping[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return meant[hint]
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(meant[each] for each in parameters)] if parameters else hint


OPERATIONS: Mapping[str, Operation] = {each.name: each for each in _operations(Registry, "", {})}
