"""Every command of `openstack` for images, each with what it leaves behind."""

from pathlib import Path

from tests.e2e.cloud import CONTENT, FORMATS, Cloud, covers

# It fails, as nobody has such an image to give; what is looked for is that it is listed.
TASK = {
    "type": "import",
    "input": {
        "import_from": "http://127.0.0.1:1/none",
        "import_from_format": "raw",
        "image_properties": {"name": "none", "disk_format": "raw", "container_format": "bare"},
    },
}


@covers("openstack image create", "openstack image show", "openstack image list", "openstack image delete")
def test_an_image_is_created_shown_listed_and_deleted(cloud: Cloud) -> None:
    flags = ("--property", "os_distro=debian", "--tag", "gold", "--min-ram", "64")
    made = cloud.json("image create", *FORMATS, *flags, "--file", cloud.disk, "osc-made")
    assert cloud.show(made["id"])["checksum"] == CONTENT.digest("md5")
    shown = cloud.json("image show osc-made")
    assert (shown["status"], shown["size"], shown["min_ram"], shown["tags"]) == ("active", 300_000, 64, ["gold"])
    listed = cloud.json("image list --property os_distro=debian --tag gold --sort name:asc --long")
    assert [row["ID"] for row in listed] == [made["id"]]
    cloud.openstack("image delete osc-made")
    assert cloud.show(made["id"]) == {}
    cloud.refuses(lambda: cloud.openstack("image show osc-made"), "No Image found")


@covers("openstack image set --deactivate --activate")
def test_a_deactivated_image_is_not_saved_until_it_is_activated(cloud: Cloud, tmp_path: Path) -> None:
    image_id, target = cloud.image("osc-off"), tmp_path / "off.raw"
    cloud.openstack("image set --deactivate", image_id, by="admin")
    assert cloud.show(image_id)["status"] == "deactivated"
    cloud.refuses(lambda: cloud.openstack("image save --file", target, image_id), "Unable to download image")
    cloud.openstack("image set --activate", image_id, by="admin")
    assert cloud.show(image_id)["status"] == "active"


@covers("openstack image save")
def test_saved_data_are_those_of_the_image_also_on_standard_output(cloud: Cloud, tmp_path: Path) -> None:
    image_id, target = cloud.image("osc-saved"), tmp_path / "saved.raw"
    cloud.openstack("image save --file", target, image_id)
    assert target.read_bytes() == CONTENT.read()
    assert cloud.openstack("image save", image_id).stdout == CONTENT.read()


@covers(
    "openstack cached image queue",
    "openstack cached image list",
    "openstack cached image delete",
    "openstack cached image clear --cache --queue",
)
def test_images_are_brought_into_the_cache_and_taken_out(cloud: Cloud) -> None:
    first, second = (cloud.remote_image(name) for name in ("osc-cached-1", "osc-cached-2"))
    cloud.openstack("cached image queue", first, second, by="admin")
    cloud.until(lambda: len(cloud.get("/v2/cache")["cached_images"]) == 2)
    listed = {row["ID"]: row["State"] for row in cloud.json("cached image list", by="admin")}
    assert listed == {first: "cached", second: "cached"}
    cloud.openstack("cached image delete", first, by="admin")
    assert [row["image_id"] for row in cloud.get("/v2/cache")["cached_images"]] == [second]
    cloud.openstack("cached image clear --queue", by="admin")
    assert [row["image_id"] for row in cloud.get("/v2/cache")["cached_images"]] == [second]
    cloud.openstack("cached image clear --cache", by="admin")
    assert cloud.get("/v2/cache")["cached_images"] == []
    cloud.refuses(lambda: cloud.openstack("cached image list"), "403")


@covers("openstack image stores list --detail", "openstack image import info")
def test_stores_and_ways_to_import_are_told(cloud: Cloud) -> None:
    listed = {row["ID"]: row for row in cloud.json("image stores list")}
    assert set(listed) == {"local", "second", "web"}
    detailed = {row["ID"]: row["Properties"] for row in cloud.json("image stores list --detail", by="admin")}
    assert "images2" in str(detailed["second"])
    assert "web-download" in str(cloud.json("image import info"))


@covers(
    "openstack image metadef object create --namespace",
    "openstack image metadef object list",
    "openstack image metadef object show",
    "openstack image metadef object property show",
    "openstack image metadef object update --name",
    "openstack image metadef object delete",
)
def test_objects_of_a_namespace_come_change_and_go(cloud: Cloud) -> None:
    name, path = "OSC::Objects", "/v2/metadefs/namespaces/OSC::Objects/objects"
    cloud.openstack("image metadef namespace create --public", name, by="admin")
    cloud.openstack(f"image metadef object create --namespace {name} disk", by="admin")
    assert cloud.json("image metadef object list", name)[0]["name"] == "disk"
    assert cloud.json("image metadef object show", name, "disk")["name"] == "disk"
    properties = {"speed": {"title": "Speed", "type": "integer"}}
    body = {"name": "disk", "properties": properties}
    assert cloud.glint.request("PUT", f"{path}/disk", body, token=cloud.token("admin")).status == 200
    assert cloud.json("image metadef object property show", name, "disk", "speed")["title"] == "Speed"
    cloud.openstack("image metadef object update --name drive", name, "disk", by="admin")
    assert [one["name"] for one in cloud.get(path)["objects"]] == ["drive"]
    cloud.openstack("image metadef object delete", name, "drive", by="admin")
    assert cloud.get(path)["objects"] == []


@covers(
    "openstack image metadef property create --name --title --type --schema",
    "openstack image metadef property list",
    "openstack image metadef property show",
    "openstack image metadef property set --name --title --type --schema",
    "openstack image metadef property delete",
)
def test_properties_of_a_namespace_come_change_and_go(cloud: Cloud) -> None:
    name, path = "OSC::Properties", "/v2/metadefs/namespaces/OSC::Properties/properties"
    cloud.openstack("image metadef namespace create --public", name, by="admin")
    cloud.openstack(
        f"image metadef property create {name} --name speed --title Speed --type integer --schema", '{"minimum": 1}',
        by="admin",
    )  # fmt: skip
    assert cloud.json("image metadef property list", name)[0]["name"] == "speed"
    assert cloud.json("image metadef property show", name, "speed")["minimum"] == 1
    words = f"image metadef property set {name} speed --name pace --title Pace --type integer --schema"
    cloud.openstack(words, '{"minimum": 2}', by="admin")
    changed = cloud.get(path)["properties"]["pace"]
    assert (changed["title"], changed["minimum"]) == ("Pace", 2)
    cloud.openstack("image metadef property delete", name, "pace", by="admin")
    assert cloud.get(path)["properties"] == {}


@covers(
    "openstack image metadef resource type list",
    "openstack image metadef resource type association create --properties-target",
    "openstack image metadef resource type association list",
    "openstack image metadef resource type association delete --force",
)
def test_resource_types_are_bound_to_a_namespace_and_let_go(cloud: Cloud) -> None:
    name, path = "OSC::Types", "/v2/metadefs/namespaces/OSC::Types/resource_types"
    cloud.openstack("image metadef namespace create --public", name, by="admin")
    words = "image metadef resource type association create --properties-target image"
    cloud.openstack(words, name, "OS::Thing", by="admin")
    assert cloud.get(path)["resource_type_associations"][0]["properties_target"] == "image"
    assert "OS::Thing" in str(cloud.json("image metadef resource type list"))
    assert "OS::Thing" in str(cloud.json("image metadef resource type association list", name))
    cloud.openstack("image metadef resource type association delete --force", name, "OS::Thing", by="admin")
    assert cloud.get(path)["resource_type_associations"] == []


@covers("openstack image stage", "openstack image import", "openstack image task list", "openstack image task show")
def test_staged_data_are_imported_and_a_task_tells_of_it(cloud: Cloud) -> None:
    image_id = cloud.glint.create(token=cloud.token("demo"), name="osc-staged")
    cloud.openstack("image stage --file", cloud.disk, image_id)
    assert cloud.show(image_id)["status"] == "uploading"
    cloud.openstack("image import --method glance-direct", image_id)
    cloud.until(lambda: cloud.show(image_id)["status"] == "active")
    assert cloud.show(image_id)["checksum"] == CONTENT.digest("md5")
    task_id = cloud.get(f"/v2/images/{image_id}/tasks")["tasks"][0]["id"]
    made = cloud.glint.request("POST", "/v2/tasks", TASK, token=cloud.token("admin")).json["id"]
    assert made in {row["ID"] for row in cloud.json("image task list", by="admin")}
    assert cloud.json("image task show", task_id, by="admin")["type"] == "api_image_import"


@covers("openstack image create --import", "openstack image import --method --store --wait")
def test_images_are_made_by_import_and_copied_to_another_store(cloud: Cloud) -> None:
    made = cloud.json("image create --import", *FORMATS, "--file", cloud.disk, "osc-imported")["id"]
    cloud.until(lambda: cloud.show(made)["status"] == "active")
    cloud.openstack("image import --method copy-image --store second --wait", made, by="admin")
    cloud.until(lambda: set(cloud.show(made)["stores"].split(",")) == {"local", "second"})


@covers("openstack image delete --store")
def test_an_image_is_deleted_from_one_of_its_stores(cloud: Cloud) -> None:
    image_id = cloud.image("osc-two-stores")
    body = {"method": {"name": "copy-image"}, "stores": ["second"]}
    cloud.glint.request("POST", f"/v2/images/{image_id}/import", body, token=cloud.token("admin"))
    cloud.until(lambda: set(cloud.show(image_id)["stores"].split(",")) == {"local", "second"})
    cloud.openstack("image delete --store second", image_id, by="admin")
    assert cloud.show(image_id)["stores"] == "local"
