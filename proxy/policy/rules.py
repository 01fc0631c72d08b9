"""The policy rules of the Images API and what they say unless a policy file says otherwise.

Names, check strings and scopes are Glance's: a policy file written for Glance means the same here.
Source: glance/policies/*.py; tests/unit/policy_defaults.json holds what a real Glance registers.
"""

from collections.abc import Mapping
from types import MappingProxyType

_ADMIN = "rule:context_is_admin"
_MEMBER = "role:member and project_id:%(project_id)s"
_READER = "role:reader and project_id:%(project_id)s"
# 'shared' opens nothing by itself: the registry has already hidden shared images from those who are not members.
_VISIBLE = (
    "(project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s"
    " or 'public':%(visibility)s or 'shared':%(visibility)s)"
)
_OWN = "project_id:%(owner)s"

_ADMIN_OR_MEMBER = f"{_ADMIN} or ({_MEMBER})"
_ADMIN_OR_READER = f"{_ADMIN} or ({_READER})"
_ADMIN_OR_VISIBLE_TO_MEMBER = f"{_ADMIN} or (role:member and {_VISIBLE})"
_ADMIN_OR_SHARING = f"{_ADMIN} or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"
_ADMIN_OR_NAMESPACE_READER = f"{_ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"
_METADEF_ADMIN = "rule:metadef_admin"
_DEFAULT = "rule:default"

ADMIN_RULE = "context_is_admin"

# Rules that others refer to. They hold for every scope of a token.
BASE: Mapping[str, str] = MappingProxyType(
    {
        "default": "",
        ADMIN_RULE: "role:admin",
        "service_api": "role:service or role:admin",
        "metadef_default": "",
        "metadef_admin": _ADMIN,
    },
)

# Rules of operations. They hold for tokens of a project; a token of a domain or of the system is refused.
OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "add_image": f"{_ADMIN} or ({_MEMBER} and {_OWN})",
        "delete_image": _ADMIN_OR_MEMBER,
        "get_image": f"{_ADMIN} or (role:reader and {_VISIBLE})",
        "get_images": _ADMIN_OR_READER,
        "modify_image": _ADMIN_OR_MEMBER,
        "publicize_image": _ADMIN,
        "communitize_image": _ADMIN_OR_MEMBER,
        "download_image": _ADMIN_OR_VISIBLE_TO_MEMBER,
        "download_from_store": _ADMIN_OR_VISIBLE_TO_MEMBER,
        "upload_image": _ADMIN_OR_MEMBER,
        "delete_image_location": _ADMIN,
        "get_image_location": _ADMIN_OR_READER,
        "set_image_location": _ADMIN_OR_MEMBER,
        "add_image_location": f"rule:service_api or ({_MEMBER} and {_OWN})",
        "fetch_image_location": "rule:service_api",
        "add_member": _ADMIN_OR_MEMBER,
        "delete_member": _ADMIN_OR_MEMBER,
        "get_member": _ADMIN_OR_SHARING,
        "get_members": _ADMIN_OR_SHARING,
        "modify_member": f"{_ADMIN} or (role:member and project_id:%(member_id)s)",
        "manage_image_cache": _ADMIN,
        "list_cached_nodes": _ADMIN,
        "deactivate": _ADMIN_OR_MEMBER,
        "reactivate": _ADMIN_OR_MEMBER,
        "copy_image": _ADMIN,
        "cache_image": _ADMIN,
        "cache_list": _ADMIN,
        "cache_delete": _ADMIN,
        "cache_clean": _ADMIN,
        "cache_prune": _ADMIN,
        "get_task": _DEFAULT,
        "get_tasks": _DEFAULT,
        "add_task": _DEFAULT,
        "modify_task": _DEFAULT,
        "tasks_api_access": _ADMIN,
        "stores_info_detail": f"{_ADMIN} or rule:service_api",
        "get_metadef_namespace": _ADMIN_OR_NAMESPACE_READER,
        "get_metadef_namespaces": _ADMIN_OR_READER,
        "modify_metadef_namespace": _METADEF_ADMIN,
        "add_metadef_namespace": _METADEF_ADMIN,
        "delete_metadef_namespace": _METADEF_ADMIN,
        "get_metadef_object": _ADMIN_OR_NAMESPACE_READER,
        "get_metadef_objects": _ADMIN_OR_NAMESPACE_READER,
        "modify_metadef_object": _METADEF_ADMIN,
        "add_metadef_object": _METADEF_ADMIN,
        "delete_metadef_object": _METADEF_ADMIN,
        "list_metadef_resource_types": _ADMIN_OR_NAMESPACE_READER,
        "get_metadef_resource_type": _ADMIN_OR_NAMESPACE_READER,
        "add_metadef_resource_type_association": _METADEF_ADMIN,
        "remove_metadef_resource_type_association": _METADEF_ADMIN,
        "get_metadef_property": _ADMIN_OR_NAMESPACE_READER,
        "get_metadef_properties": _ADMIN_OR_NAMESPACE_READER,
        "modify_metadef_property": _METADEF_ADMIN,
        "add_metadef_property": _METADEF_ADMIN,
        "remove_metadef_property": _METADEF_ADMIN,
        "get_metadef_tag": _ADMIN_OR_NAMESPACE_READER,
        "get_metadef_tags": _ADMIN_OR_NAMESPACE_READER,
        "modify_metadef_tag": _METADEF_ADMIN,
        "add_metadef_tag": _METADEF_ADMIN,
        "add_metadef_tags": _METADEF_ADMIN,
        "delete_metadef_tag": _METADEF_ADMIN,
        "delete_metadef_tags": _METADEF_ADMIN,
    },
)

RULES: Mapping[str, str] = MappingProxyType({**BASE, **OPERATIONS})

_METADEF_DEFAULT = "rule:metadef_default"
_CACHE_MANAGER = "rule:manage_image_cache"

# What was enough before the rules above knew roles: with `api.enforce_new_defaults: false` it still is. A rule that is
# not here says the same as then; `default`, which lets everybody, cannot say more.
OLD_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "add_image": _DEFAULT,
        "delete_image": _DEFAULT,
        "get_image": _DEFAULT,
        "get_images": _DEFAULT,
        "modify_image": _DEFAULT,
        "communitize_image": _DEFAULT,
        "download_image": _DEFAULT,
        "upload_image": _DEFAULT,
        "delete_image_location": _DEFAULT,
        "get_image_location": _DEFAULT,
        "set_image_location": _DEFAULT,
        "add_member": _DEFAULT,
        "delete_member": _DEFAULT,
        "get_member": _DEFAULT,
        "get_members": _DEFAULT,
        "modify_member": _DEFAULT,
        "deactivate": _DEFAULT,
        "reactivate": _DEFAULT,
        "get_metadef_namespace": _METADEF_DEFAULT,
        "get_metadef_namespaces": _METADEF_DEFAULT,
        "get_metadef_object": _METADEF_DEFAULT,
        "get_metadef_objects": _METADEF_DEFAULT,
        "list_metadef_resource_types": _METADEF_DEFAULT,
        "get_metadef_resource_type": _METADEF_DEFAULT,
        "get_metadef_property": _METADEF_DEFAULT,
        "get_metadef_properties": _METADEF_DEFAULT,
        "get_metadef_tag": _METADEF_DEFAULT,
        "get_metadef_tags": _METADEF_DEFAULT,
        "cache_image": _CACHE_MANAGER,
        "cache_list": _CACHE_MANAGER,
        "cache_delete": _CACHE_MANAGER,
        "stores_info_detail": _ADMIN,
    },
)

# Operations that an image's owner alone may do, whatever the old defaults say. Source: glance/api/v2/policy.py,
# check_is_image_mutable; glance/db/sqlalchemy/api.py, is_image_mutable; glance/api/v2/image_members.py.
OWNERS_ALONE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "delete_image",
                "modify_image",
                "upload_image",
                "deactivate",
                "reactivate",
                "delete_image_location",
                "set_image_location",
            ),
            "You do not own this image",
        ),
        "add_member": "You are not permitted to create image members for the image.",
        "delete_member": "You cannot delete image member.",
    },
)
