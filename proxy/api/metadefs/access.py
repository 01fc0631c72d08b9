"""Who may do what with metadata definitions. A namespace that the caller may not see is not betrayed by a refusal."""

from proxy.api.call import Call
from proxy.errors import Forbidden
from upstream.errors import NotFound
from upstream.registry import Namespace

SEE = "get_metadef_namespace"


async def namespace_of(call: Call) -> Namespace:
    """The namespace that the path names. Raises NotFound if there is none or the caller's project may not see it."""
    return await call.services.registry.metadefs.namespaces.get(call.context, call.parameters["namespace"])


def enforce(call: Call, rule: str, namespace: Namespace | None = None) -> None:
    """Raises Forbidden, and NotFound instead if the caller may not even see the namespace.

    Without a namespace the rule is asked about the caller's own project.
    Source: glance/api/v2/policy.py, MetadefAPIPolicy.
    """
    policy, target = call.services.policy, _target(call, namespace)
    try:
        policy.enforce(rule, call.context, target)
    except Forbidden:
        if rule == SEE or not policy.allows(SEE, call.context, target):
            raise NotFound("metadata definition namespace", namespace.name if namespace else "") from None
        raise


def allows(call: Call, rule: str, namespace: Namespace) -> bool:
    return call.services.policy.allows(rule, call.context, _target(call, namespace))


def check_unprotected(namespace: Namespace) -> None:
    """Raises Forbidden if neither the namespace nor anything in it may be deleted."""
    if namespace.protected:
        raise Forbidden(f"The namespace {namespace.name} is protected: nothing of it can be deleted.")


def _target(call: Call, namespace: Namespace | None) -> dict[str, str | None]:
    if namespace is None:
        return {"project_id": call.context.project_id}
    return {"project_id": namespace.owner, "visibility": namespace.visibility}
