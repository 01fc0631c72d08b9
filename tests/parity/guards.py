"""The files by which an operator guards custom properties and changes the policy: the same for Glance and for Glint."""

# The first section that fits decides; a pattern may stand anywhere in the name.
ROLES = """\
[^(lot|kernel_id|os_distro|count|flag|ratio|note|maybe|list)$]
create = @
read = @
update = @
delete = @
[^open_]
create = @
read = @
update = @
delete = @
[^secret_]
create = admin
read = admin
update = admin
delete = admin
[^written_once$]
create = @
read = @
update = !
delete = !
[^managed_]
create = Member, admin
read = @
update = ADMIN
delete = admin,service
[^billing_]
create = service
read = service,member
update = service
delete = service
[^drop_box$]
create = @
read = admin
update = admin
delete = admin
[^half_seen$]
create = admin
read = reader
update = @
delete = @
[^blind$]
create = @
read = !
update = @
delete = @
[^closed$]
create = !
read = !
update = !
delete = !
[^empty$]
create =
read = @
update =
delete =
[part]
create = @
read = @
update = member
delete = member
[^partial_admin$]
create = admin
read = admin
update = admin
delete = admin
[os_glance_import]
create = !
read = !
update = !
delete = !
"""

POLICIES = """\
[^(lot|veiled|lock)$]
create = @
read = @
update = @
delete = @
[^secret_]
create = property_owner
read = property_owner
update = property_owner
delete = property_owner
[^managed_]
create = property_maker
read = @
update = property_owner
delete = !
[^sealed$]
create = property_maker
read = property_reader
update = property_maker
delete = property_maker
[^any_]
create = default
read = get_image
update = property_nested
delete = context_is_admin
"""

RULES = {
    "property_owner": "role:admin",
    "property_maker": "rule:property_owner or role:member",
    "property_reader": "role:reader",
    "property_nested": "rule:property_maker and not role:admin",
    "get_image": "rule:context_is_admin or (not 'yes':%(veiled)s and role:reader)",
    "get_images": "rule:context_is_admin or role:member",
    "modify_image": "rule:context_is_admin or (role:member and project_id:%(project_id)s and not 'modify':%(lock)s)",
    "upload_image": "rule:context_is_admin or (role:member and project_id:%(owner)s and not 'upload':%(lock)s)",
    "download_image": "rule:context_is_admin or (role:member and not 'download':%(lock)s)",
    "delete_image": "rule:context_is_admin or (role:member and project_id:%(project_id)s and 'no':%(lock)s)",
    "publicize_image": "role:member",
    "communitize_image": "!",
    "add_member": "role:reader and project_id:%(owner)s",
    "get_members": "project_id:%(owner)s or project_id:%(member_id)s",
    "get_member": "role:member",
    "modify_member": "project_id:%(member_id)s or role:admin",
    "delete_member": "project_id:%(project_id)s or project_id:%(member)s",
    "deactivate": "rule:context_is_admin",
    "reactivate": "role:member and 'deactivated':%(status)s",
    "manage_image_cache": "role:member",
    "fetch_image_location": "role:member and project_id:%(project_id)s",
    "stores_info_detail": "role:reader",
}

FLAT_SCHEMA = {
    "kernel_id": {"type": ["null", "string"], "pattern": "^[0-9a-f]{4}$", "description": "A kernel"},
    "os_distro": {"type": "string", "enum": ["debian", "fedora"], "description": "A distribution"},
    "count": {"type": "integer", "minimum": 1},
    "ratio": {"type": "number"},
    "flag": {"type": "boolean"},
    "note": {"type": "string", "maxLength": 5},
    "maybe": {"type": ["null", "integer", "string"]},
    "list": {"type": "array", "items": {"type": "string"}},
}

EXTENDED_SCHEMA = {
    "properties": {"mission": {"type": "string", "maxLength": 8}, "crew": {"type": "string"}},
    "required": ["mission", "crew"],
}
