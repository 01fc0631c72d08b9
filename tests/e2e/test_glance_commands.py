"""Every command of `glance`, each with what it leaves behind. Those of metadata definitions have their own file."""

import json
from pathlib import Path

from tests.e2e.cloud import CONTENT, FORMATS, Cloud, covers, rows


@covers("glance image-create", "glance image-show", "glance image-list", "glance image-delete")
def test_an_image_is_created_shown_listed_and_deleted(cloud: Cloud) -> None:
    made = cloud.table("image-create --name g-made --property os_distro=debian", *FORMATS, "--file", cloud.disk)
    assert (made["status"], made["checksum"]) == ("active", CONTENT.digest("md5"))
    assert cloud.table("image-show", made["id"])["os_distro"] == "debian"
    listed = rows(cloud.glance("image-list --property-filter os_distro=debian --sort name:asc").text)
    assert [made["id"], "g-made"] in listed
    cloud.glance("image-delete", made["id"])
    assert cloud.show(made["id"]) == {}


@covers("glance image-update", "glance image-tag-update", "glance image-tag-delete")
def test_an_image_is_changed_and_tagged(cloud: Cloud) -> None:
    image_id = cloud.image("g-changed")
    cloud.glance("image-update --name g-new --property colour=red --property shape=round --min-disk 4", image_id)
    cloud.glance("image-update --remove-property shape --hidden True", image_id)
    found = cloud.show(image_id)
    assert (found["name"], found["colour"], found["min_disk"], found["os_hidden"]) == ("g-new", "red", 4, True)
    assert "shape" not in found
    cloud.glance("image-tag-update", image_id, "gold")
    assert cloud.show(image_id)["tags"] == ["gold"]
    cloud.glance("image-tag-delete", image_id, "gold")
    assert cloud.show(image_id)["tags"] == []


@covers("glance image-upload --store --file", "glance image-download")
def test_data_go_up_and_come_down_as_they_were(cloud: Cloud, tmp_path: Path) -> None:
    image_id, target = cloud.glint.create(token=cloud.token("demo"), name="g-data"), tmp_path / "down.raw"
    cloud.glance("image-upload --store second --file", cloud.disk, image_id)
    assert cloud.show(image_id)["stores"] == "second"
    cloud.glance("image-download --file", target, image_id)
    assert target.read_bytes() == CONTENT.read()


@covers("glance image-deactivate", "glance image-reactivate")
def test_an_image_is_taken_out_of_use_and_back(cloud: Cloud) -> None:
    image_id = cloud.image("g-off")
    cloud.glance("image-deactivate", image_id, by="admin")
    assert cloud.show(image_id)["status"] == "deactivated"
    cloud.glance("image-reactivate", image_id, by="admin")
    assert cloud.show(image_id)["status"] == "active"


@covers(
    "glance member-create",
    "glance member-list --image-id",
    "glance member-get",
    "glance member-update",
    "glance member-delete",
)
def test_an_image_is_shared_with_a_project_that_accepts_it(cloud: Cloud) -> None:
    image_id, alt = cloud.image("g-shared"), cloud.projects["alt"]
    cloud.glance("member-create", image_id, alt)
    assert rows(cloud.glance("member-list --image-id", image_id).text) == [[image_id, alt, "pending"]]
    cloud.glance("member-update", image_id, alt, "accepted", by="alt")
    assert alt in cloud.glance("member-get", image_id, alt).text
    assert cloud.get(f"/v2/images/{image_id}/members")["members"][0]["status"] == "accepted"
    cloud.glance("member-delete", image_id, alt)
    assert cloud.get(f"/v2/images/{image_id}/members")["members"] == []


@covers(
    "glance location-add --url --metadata --checksum --hash-algo --hash-value",
    "glance location-update --url --metadata",
    "glance location-delete --url",
)
def test_locations_come_change_and_go_by_the_old_api(cloud: Cloud) -> None:
    cloud.origin.add("g-places", CONTENT)
    cloud.origin.add("g-more-places", CONTENT)
    image_id = cloud.glint.create(token=cloud.token("demo"), name="g-places")
    first, second = cloud.origin.url("g-places"), cloud.origin.url("g-more-places")
    proof = ("--checksum", CONTENT.digest("md5"), "--hash-algo", "sha512", "--hash-value", CONTENT.digest())
    cloud.glance("location-add --url", first, "--metadata", '{"rack": "6"}', *proof, image_id)
    found = cloud.show(image_id)
    assert (found["os_hash_value"], found["locations"][0]["metadata"]["rack"]) == (CONTENT.digest(), "6")
    cloud.glance("location-add --url", second, image_id)
    assert [place["url"] for place in cloud.show(image_id)["locations"]] == [first, second]
    cloud.glance("location-update --url", first, "--metadata", '{"rack": "7"}', image_id)
    changed = next(place for place in cloud.show(image_id)["locations"] if place["url"] == first)
    assert changed["metadata"]["rack"] == "7"
    cloud.glance("location-delete --url", first, image_id, by="admin")
    assert [place["url"] for place in cloud.show(image_id)["locations"]] == [second]


@covers("glance add-location --url --validation-data")
def test_a_location_is_given_to_a_queued_image_by_the_new_api(cloud: Cloud) -> None:
    cloud.origin.add("g-place", CONTENT)
    image_id = cloud.glint.create(token=cloud.token("demo"), name="g-place")
    proof = json.dumps({"os_hash_algo": "sha512", "os_hash_value": CONTENT.digest()})
    cloud.glance("add-location --url", cloud.origin.url("g-place"), "--validation-data", proof, image_id)
    cloud.until(lambda: cloud.show(image_id)["status"] == "active")
    assert cloud.show(image_id)["os_hash_value"] == CONTENT.digest()


@covers(
    "glance cache-queue",
    "glance cache-list",
    "glance cache-nodes-list",
    "glance cache-delete",
    "glance cache-clear --target",
)
def test_images_are_brought_into_the_cache_and_taken_out(cloud: Cloud) -> None:
    first, second = (cloud.remote_image(name) for name in ("g-cached-1", "g-cached-2"))
    cloud.glance("cache-queue", first, second, by="admin")
    cloud.until(lambda: len(cloud.get("/v2/cache")["cached_images"]) == 2)
    listed = rows(cloud.glance("cache-list", by="admin").text)
    assert {(row[0], row[1]) for row in listed} == {(first, "cached"), (second, "cached")}
    assert rows(cloud.glance("cache-nodes-list", first, by="admin").text) == [[cloud.glint.url]]
    cloud.glance("cache-delete", first, by="admin")
    assert [row["image_id"] for row in cloud.get("/v2/cache")["cached_images"]] == [second]
    cloud.glance("cache-clear --target cache", by="admin")
    assert cloud.get("/v2/cache")["cached_images"] == []
    assert "not permitted" in cloud.glance("cache-clear").stderr


@covers("glance cache-clean", "glance cache-prune")
def test_the_cache_is_cleaned_and_pruned(cloud: Cloud) -> None:
    assert cloud.glance("cache-clean", by="admin").stderr == ""
    assert cloud.glance("cache-prune", by="admin").text == "Pruned 0 file(s), 0 byte(s).\n"
    assert "not permitted" in cloud.glance("cache-prune").stderr


@covers("glance explain", "glance import-info", "glance stores-info --detail", "glance usage")
def test_what_there_is_is_told(cloud: Cloud) -> None:
    attributes = {row[0] for row in rows(cloud.glance("explain image").text)}
    assert {"id", "name", "disk_format", "os_hidden"} <= attributes
    assert "import-methods" in cloud.table("import-info")
    assert "second" in cloud.table("stores-info")["stores"]
    assert "images2" in cloud.table("stores-info --detail", by="admin")["stores"]
    assert cloud.get("/v2/info/usage", by="demo") == {"usage": {}}
    assert cloud.glance("usage").stderr == ""


@covers("glance help", "glance bash-completion")
def test_the_client_helps_itself(cloud: Cloud) -> None:
    assert "cache-queue" in cloud.glance("help").text
    assert "image-import" in cloud.glance("bash-completion").text


@covers("glance image-stage", "glance image-import --store", "glance image-tasks")
def test_staged_data_are_imported_and_tasks_tell_of_it(cloud: Cloud) -> None:
    image_id = cloud.glint.create(token=cloud.token("demo"), name="g-staged")
    cloud.glance("image-stage --file", cloud.disk, image_id)
    assert cloud.show(image_id)["status"] == "uploading"
    cloud.glance("image-import --store second", image_id)
    cloud.until(lambda: cloud.show(image_id)["status"] == "active")
    found = cloud.show(image_id)
    assert (found["checksum"], found["stores"]) == (CONTENT.digest("md5"), "second")
    cloud.until(lambda: "success" in cloud.glance("image-tasks", image_id).text)


@covers("glance image-create-via-import")
def test_an_image_is_made_by_import_from_a_file_and_from_the_web(cloud: Cloud) -> None:
    words = "image-create-via-import --name g-imported"
    made = cloud.table(words, *FORMATS, "--file", cloud.disk)["id"]
    cloud.origin.add("g-web", CONTENT)
    source = ("--import-method", "web-download", "--uri", cloud.origin.url("g-web"))
    fetched = cloud.table(words, *FORMATS, *source)["id"]
    cloud.until(lambda: cloud.show(made)["status"] == cloud.show(fetched)["status"] == "active")
    assert {cloud.show(image_id)["checksum"] for image_id in (made, fetched)} == {CONTENT.digest("md5")}


@covers(
    "glance task-create --type --input",
    "glance task-show",
    "glance task-list --sort-key --sort-dir --page-size --type --status",
)
def test_a_task_that_imports_is_begun_shown_and_listed(cloud: Cloud) -> None:
    cloud.origin.add("g-task", CONTENT)
    properties = {"name": "g-task", "disk_format": "raw", "container_format": "bare"}
    given = {"import_from": cloud.origin.url("g-task"), "import_from_format": "raw", "image_properties": properties}
    task_id = cloud.table("task-create --type import --input", json.dumps(given), by="admin")["id"]
    cloud.until(lambda: cloud.table("task-show", task_id, by="admin")["status"] == "success")
    words = "task-list --type import --status success --sort-key id --sort-dir desc --page-size 1"
    listed = [row[0] for row in rows(cloud.glance(words, by="admin").text)]
    assert (task_id in listed, listed) == (True, sorted(listed, reverse=True))
    assert [image["name"] for image in cloud.get("/v2/images?name=g-task")["images"]] == ["g-task"]


@covers("glance stores-delete --store", "glance image-import --import-method --stores")
def test_an_image_is_deleted_from_one_of_its_stores(cloud: Cloud) -> None:
    image_id = cloud.image("g-two-stores")
    cloud.glance("image-import --import-method copy-image --stores second", image_id, by="admin")
    cloud.until(lambda: set(cloud.show(image_id)["stores"].split(",")) == {"local", "second"})
    cloud.glance("stores-delete --store second", image_id, by="admin")
    assert cloud.show(image_id)["stores"] == "local"
