"""The options of `openstack` for images that the stories of its commands leave out, each with what it does."""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.cloud import CONTENT, FORMATS, Cloud, covers

_VISIBILITIES = ("public", "private", "community", "shared")
_IDS = {"instance_uuid": str(uuid4()), "kernel_id": str(uuid4()), "ramdisk_id": str(uuid4())}
_TEXTS = {"architecture": "x86_64", "os_version": "12", "os_distro": "debian", **_IDS}
_TOLD = [word for name, value in _TEXTS.items() for word in (f"--{name.replace('_', '-')}", value)]


@covers(
    "openstack image create --id --container-format --disk-format --min-disk --min-ram --size --file --progress"
    " --protected --unprotected --public --private --community --shared --property --tag --project --project-domain",
    "openstack image set --unprotected",
)
def test_an_image_is_created_with_all_that_can_be_said_of_it(cloud: Cloud) -> None:
    image_id, alt = str(uuid4()), cloud.projects["alt"]
    flags = "--min-disk 2 --min-ram 64 --protected --public --property colour=red --tag gold --project-domain default"
    words = (
        *FORMATS,
        "--id",
        image_id,
        "--project",
        alt,
        "--progress",
        "--size",
        "300000",
        "--file",
        cloud.disk,
        "osc-all",
    )
    cloud.openstack(f"image create {flags}", *words, by="admin")
    found = cloud.show(image_id)
    assert (found["min_disk"], found["min_ram"], found["protected"], found["visibility"]) == (2, 64, True, "public")
    assert (found["colour"], found["tags"], found["owner"], found["checksum"]) == (
        "red",
        ["gold"],
        alt,
        CONTENT.digest("md5"),
    )
    cloud.openstack("image set --unprotected", image_id, by="admin")
    for visibility in _VISIBILITIES[1:]:
        made = cloud.json(f"image create --unprotected --{visibility} osc-{visibility}")
        assert (made["visibility"], made["protected"]) == (visibility, False)


@covers(
    "openstack image set --name --min-disk --min-ram --container-format --disk-format --protected --unprotected"
    " --public --private --community --shared --property --tag --architecture --instance-id --instance-uuid"
    " --kernel-id --os-distro --os-version --ramdisk-id --hidden --unhidden --project --project-domain",
    "openstack image unset --tag --property",
)
def test_all_of_an_image_is_changed(cloud: Cloud) -> None:
    image_id = cloud.glint.create(token=cloud.token("demo"), name="osc-old")
    flags = (
        "--name osc-changed --min-disk 2 --min-ram 64 --container-format ovf --disk-format qcow2 --protected --public"
    )
    more = ["--hidden", "--property", "colour=red", "--tag", "gold", "--project-domain", "default"]
    owner = ("--project", cloud.projects["alt"])
    cloud.openstack(f"image set {flags}", *more, *_TOLD, *owner, image_id, by="admin")
    expected = {**_TEXTS, "name": "osc-changed", "min_disk": 2, "min_ram": 64, "container_format": "ovf"}
    expected |= {"disk_format": "qcow2", "protected": True, "os_hidden": True, "colour": "red", "tags": ["gold"]}
    expected |= {
        "visibility": "public",
        "owner": cloud.projects["alt"],
        "instance_id": expected.pop("instance_uuid"),
    }  # as the client names it
    found = cloud.show(image_id)
    assert {name: found.get(name) for name in expected} == expected
    for visibility in _VISIBILITIES[1:]:
        instance = str(uuid4())
        words = f"image set --{visibility} --unprotected --unhidden --instance-id {instance}"
        cloud.openstack(words, image_id, by="admin")
        found = cloud.show(image_id)
        assert (found["visibility"], found["instance_id"], found["os_hidden"]) == (visibility, instance, False)
    cloud.openstack("image set --protected", image_id, by="admin")
    cloud.refuses(lambda: cloud.openstack("image delete", image_id, by="admin"), "protected")
    cloud.openstack("image unset --tag gold --property colour", image_id, by="admin")
    found = cloud.show(image_id)
    assert "colour" not in found
    assert (found["tags"], found["os_distro"]) == ([], "debian")


@covers(
    "openstack image set --accept --reject --pending --project --project-domain",
    "openstack image add project --project-domain",
    "openstack image remove project --project-domain",
    "openstack image member list --project-domain",
    "openstack image member get --project-domain",
)
def test_a_member_says_each_of_the_three_things(cloud: Cloud) -> None:
    image_id, alt = cloud.glint.create(token=cloud.token("demo"), name="osc-offered"), cloud.projects["alt"]
    domain = "--project-domain default"
    cloud.openstack(f"image add project {domain}", image_id, alt)
    for word, status in (("--pending", "pending"), ("--reject", "rejected"), ("--accept", "accepted")):
        cloud.openstack(f"image set {word} {domain}", "--project", alt, image_id, by="alt")
        assert cloud.get(f"/v2/images/{image_id}/members")["members"][0]["status"] == status
    assert cloud.json(f"image member get {domain}", image_id, alt)["status"] == "accepted"
    assert [row["Member ID"] for row in cloud.json(f"image member list {domain}", image_id)] == [alt]
    assert image_id in {row["ID"] for row in cloud.json("image list --shared", by="alt")}
    cloud.openstack(f"image remove project {domain}", image_id, alt)
    assert cloud.get(f"/v2/images/{image_id}/members")["members"] == []


@covers(
    "openstack image list --public --private --community --shared --all --property --name --status --member-status"
    " --project --project-domain --tag --hidden --long --page-size --sort --limit --marker --max-items"
)
def test_images_are_listed_by_each_of_their_qualities(cloud: Cloud) -> None:
    lot, token = uuid4().hex, cloud.token("admin")
    made = {
        visibility: cloud.glint.create(
            token=token,
            name=f"osc-{visibility}",
            lot=lot,
            tags=["gold"],
            visibility=visibility,
            owner=cloud.projects["demo"],
        )
        for visibility in _VISIBILITIES
    }
    hidden = cloud.glint.create(token=token, name="osc-hidden", lot=lot, os_hidden=True)

    def listed(words: str, by: str = "admin") -> list[str]:
        return [row["ID"] for row in cloud.json(f"image list --property lot={lot} {words}", by=by)]

    for visibility in _VISIBILITIES[:-1]:
        assert listed(f"--{visibility}") == [made[visibility]]
    in_order = [made[visibility] for visibility in sorted(made)]
    assert listed("--all --sort name:asc --page-size 2") == in_order
    assert listed(f"--all --sort name:asc --limit 1 --max-items 1 --marker {in_order[0]}") == in_order[1:2]
    assert listed("--all --name osc-private --tag gold --status queued") == [made["private"]]
    assert listed("--hidden") == [hidden]
    ours = f"--project {cloud.projects['demo']} --project-domain default"
    assert set(listed(f"--shared --member-status all {ours}")) == {made["shared"]}
    row = cloud.json(f"image list --property lot={lot} --private --long", by="admin")[0]
    assert (row["Visibility"], row["Tags"]) == ("private", ["gold"])


@covers(
    "openstack image import --method --uri --all-stores --allow-failure",
    "openstack image stage --file --size --progress",
    "openstack image save --chunk-size --file --store-preference",
    "openstack image show --human-readable",
)
def test_data_go_everywhere_and_come_from_where_they_are_asked_for(cloud: Cloud, tmp_path: Path) -> None:
    cloud.origin.add("osc-everywhere", CONTENT)
    image_id, target = cloud.glint.create(token=cloud.token("demo"), name="osc-everywhere"), tmp_path / "saved.raw"
    source = ("--method", "web-download", "--uri", cloud.origin.url("osc-everywhere"))
    cloud.openstack("image import --all-stores --allow-failure", *source, image_id)
    cloud.until(lambda: "os_glance_import_task" not in cloud.show(image_id))
    assert set(cloud.show(image_id)["stores"].split(",")) == {"local", "second"}
    cloud.openstack("image save --chunk-size 4096 --store-preference second,local --file", target, image_id)
    assert target.read_bytes() == CONTENT.read()
    assert cloud.json("image show --human-readable", image_id)["size"] == "300K"
    staged = cloud.glint.create(token=cloud.token("demo"), name="osc-staged-size")
    cloud.openstack("image stage --size 300000 --progress --file", cloud.disk, staged)
    assert cloud.show(staged)["size"] == 300_000


@covers(
    "openstack image import --method --remote-region --remote-image --remote-service-interface --store"
    " --disallow-failure"
)
def test_another_glance_is_asked_for_by_region_image_and_interface(cloud: Cloud) -> None:
    """There is none in this cloud, so that the task fails; `tests/imports/test_other_glances.py` has one."""
    remote, image_id = str(uuid4()), cloud.glint.create(token=cloud.token("demo"), name="osc-remote")
    words = f"--remote-region nowhere --remote-image {remote} --remote-service-interface internal --store second"
    cloud.openstack("image import", image_id, *f"--method glance-download --disallow-failure {words}".split())
    begun = cloud.get(f"/v2/images/{image_id}/tasks")["tasks"][0]["input"]["import_req"]
    assert (begun["stores"], begun["all_stores_must_succeed"]) == (["second"], True)
    assert begun["method"] == {
        "name": "glance-download",
        "glance_region": "nowhere",
        "glance_image_id": remote,
        "glance_service_interface": "internal",
    }


@covers("openstack image task list --sort-key --sort-dir --limit --marker --max-items --type --status")
def test_tasks_are_listed_in_order(cloud: Cloud) -> None:
    body = {"type": "import", "input": {"import_from": "http://127.0.0.1:1/none", "import_from_format": "raw"}}
    first, second = (
        cloud.glint.request("POST", "/v2/tasks", body, token=cloud.token("admin")).json["id"] for _ in range(2)
    )
    ends = {first, second}
    cloud.until(lambda: {cloud.get(f"/v2/tasks/{task_id}")["status"] for task_id in ends} == {"failure"})
    words = "image task list --sort-key id --sort-dir desc --type import --status failure --limit 1 --max-items 9"
    listed = [row["ID"] for row in cloud.json(f"{words} --marker {max(first, second)}", by="admin")]
    assert min(first, second) in listed
    assert max(first, second) not in listed


@covers(
    "openstack image metadef namespace create --display-name --description --public --private --protected"
    " --unprotected",
    "openstack image metadef namespace list --resource-types --visibility",
    "openstack image metadef namespace set --display-name --description --public --private --protected --unprotected"
    " --tag",
    "openstack image metadef namespace unset --tag --all-tags",
    "openstack image metadef namespace show",
    "openstack image metadef namespace delete",
)
def test_a_namespace_comes_with_all_that_can_be_said_of_it_changes_and_goes(cloud: Cloud) -> None:
    name, other, path = "OSC::All", "OSC::Other", "/v2/metadefs/namespaces"

    def run(words: str, *more: str) -> None:
        cloud.openstack(f"image metadef namespace {words}", *more, by="admin")

    run(f"create --display-name Names --description Words --public --protected {name}")
    run(f"create --private --unprotected {other}")
    assert cloud.json("image metadef namespace show", name)["description"] == "Words"
    found = cloud.get(f"{path}/{name}")
    assert (found["display_name"], found["visibility"], found["protected"]) == ("Names", "public", True)
    run(f"set --unprotected --private --display-name N --description D --tag a --tag b {name}")
    found = cloud.get(f"{path}/{name}")
    assert (found["display_name"], found["description"]) == ("N", "D")
    assert (found["visibility"], found["protected"]) == ("private", False)
    run(f"unset --tag a {name}")
    assert [tag["name"] for tag in cloud.get(f"{path}/{name}/tags")["tags"]] == ["b"]
    run(f"unset --all-tags {name}")
    assert cloud.get(f"{path}/{name}/tags")["tags"] == []
    run(f"set --public --protected {other}")
    assert cloud.get(f"{path}/{other}")["protected"] is True
    body = {"name": "OS::OscOption"}
    assert cloud.glint.request("POST", f"{path}/{name}/resource_types", body, token=cloud.token("admin")).status == 201
    words = "image metadef namespace list --resource-types OS::OscOption --visibility private"
    assert [row["namespace"] for row in cloud.json(words, by="admin")] == [name]
    run(f"delete {name}")
    assert cloud.glint.get(f"{path}/{name}", token=cloud.token("admin")).status == 404


@pytest.mark.parametrize("words", ["create --location x", "set --visibility x"])
def test_options_of_the_first_api_are_refused_by_the_client_itself(cloud: Cloud, words: str) -> None:
    cloud.refuses(lambda: cloud.openstack(f"image {words} osc-first"), "no longer supported in Image v2")
