"""The options of `glance` that the stories of its commands leave out, each with what it does."""

from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.e2e.cloud import CONTENT, FORMATS, Cloud, covers, rows

_IDS = {"instance_uuid": str(uuid4()), "kernel_id": str(uuid4()), "ramdisk_id": str(uuid4())}
_TEXTS = {"architecture": "x86_64", "os_version": "12", "os_distro": "debian", **_IDS}
_TOLD = [word for name, value in _TEXTS.items() for word in (f"--{name.replace('_', '-')}", value)]
_BASE = (
    "--architecture --protected --instance-uuid --min-disk --visibility --kernel-id --os-version --os-distro --owner"
    " --ramdisk-id --min-ram --hidden --property --name"
)


def _check(cloud: Cloud, image_id: str, **more: object) -> None:
    """That the image has all that `_BASE` said."""
    expected = {
        **_TEXTS,
        "protected": True,
        "min_disk": 1,
        "min_ram": 64,
        "visibility": "community",
        "owner": cloud.projects["alt"],
        "os_hidden": True,
        "colour": "red",
        **more,
    }
    found = cloud.show(image_id)
    assert {name: found.get(name) for name in expected} == expected


def _words(cloud: Cloud) -> list[str | Path]:
    flags = "--protected True --min-disk 1 --min-ram 64 --visibility community --hidden True --property colour=red"
    return [*_TOLD, *flags.split(), "--owner", cloud.projects["alt"]]


@covers(f"glance image-create {_BASE} --tags --disk-format --container-format --id --file --progress --store")
def test_an_image_is_created_with_all_that_can_be_said_of_it(cloud: Cloud) -> None:
    image_id = str(uuid4())
    words = [*_words(cloud), *FORMATS, "--file", cloud.disk, "--progress", "--store", "second"]
    cloud.glance("image-create --name g-all --tags gold --id", image_id, *words, by="admin")
    _check(cloud, image_id, name="g-all", tags=["gold"], stores="second", checksum=CONTENT.digest("md5"))


@covers(
    f"glance image-create-via-import {_BASE} --tags --disk-format --container-format --id --file --progress"
    " --import-method --stores --allow-failure",
)
def test_an_image_is_made_by_import_with_all_that_can_be_said_of_it(cloud: Cloud) -> None:
    image_id = str(uuid4())
    source = "--import-method glance-direct --progress --stores local,second --allow-failure False"
    words = ("--name", "g-all", "--id", image_id, "--tags", "gold", *_words(cloud), *FORMATS, *source.split())
    cloud.glance("image-create-via-import", *words, "--file", cloud.disk, by="admin")
    cloud.until(lambda: cloud.show(image_id)["status"] == "active")
    cloud.until(lambda: set(cloud.show(image_id)["stores"].split(",")) == {"local", "second"})
    _check(cloud, image_id, name="g-all", tags=["gold"], checksum=CONTENT.digest("md5"))
    assert "all_stores_must_succeed" not in _asked(cloud, image_id), "the client leaves it out, as it is so by itself"


@covers(
    "glance image-create-via-import --all-stores --store --import-method --uri",
    "glance image-import --import-method --uri --all-stores --stores --allow-failure",
)
def test_stores_are_chosen_for_what_comes_from_the_web(cloud: Cloud) -> None:
    cloud.origin.add("g-chosen", CONTENT)
    source = ("--import-method", "web-download", "--uri", cloud.origin.url("g-chosen"))
    words = "image-create-via-import --name g-chosen"
    chosen = cloud.table(words, *FORMATS, *source, "--store", "second")["id"]
    everywhere = cloud.table(words, *FORMATS, *source, "--all-stores", "True")["id"]
    given, lax = (cloud.glint.create(token=cloud.token("demo"), name="g-chosen") for _ in range(2))
    cloud.glance("image-import --all-stores True", *source, given)
    cloud.glance("image-import --stores local,web --allow-failure True", *source, lax)  # which http takes nothing of
    wanted = {chosen: {"second"}, everywhere: {"local", "second"}, given: {"local", "second"}, lax: {"local"}}
    for image_id, stores in wanted.items():
        found = cloud.until(partial(_imported, cloud, image_id))
        assert (found["status"], set(found["stores"].split(","))) == ("active", stores)
    assert cloud.show(lax)["os_glance_failed_import"] == "web"


def _imported(cloud: Cloud, image_id: str) -> Any:
    """The image, if no import of it goes on."""
    found = cloud.show(image_id)
    return None if "os_glance_import_task" in found else found


@covers(
    "glance image-create-via-import --remote-region --remote-image-id --remote-service-interface",
    "glance image-import --remote-region --remote-image-id --remote-service-interface",
)
def test_another_glance_is_asked_for_by_region_image_and_interface(cloud: Cloud) -> None:
    """There is none in this cloud, so that the tasks fail; `tests/imports/test_other_glances.py` has one."""
    remote = str(uuid4())
    words = f"--import-method glance-download --remote-region nowhere --remote-image-id {remote}"
    interface = "--remote-service-interface internal"
    made = cloud.table(f"image-create-via-import --name g-remote {words} {interface}", *FORMATS)["id"]
    given = cloud.glint.create(token=cloud.token("demo"), name="g-remote")
    cloud.glance(f"image-import {words} {interface}", given)
    for image_id in (made, given):
        assert _asked(cloud, image_id)["method"] == {
            "name": "glance-download",
            "glance_region": "nowhere",
            "glance_image_id": remote,
            "glance_service_interface": "internal",
        }


def _asked(cloud: Cloud, image_id: str) -> Any:
    """The request that an image's last import began with."""
    return cloud.get(f"/v2/images/{image_id}/tasks")["tasks"][0]["input"]["import_req"]


@covers(f"glance image-update {_BASE} --disk-format --container-format --remove-property")
def test_all_of_an_image_is_changed(cloud: Cloud) -> None:
    image_id = cloud.glint.create(token=cloud.token("demo"), name="g-old", shape="round")
    more = ["--disk-format", "qcow2", "--container-format", "ovf", "--remove-property", "shape", "--name", "g-changed"]
    cloud.glance("image-update", *_words(cloud), *more, image_id, by="admin")
    _check(cloud, image_id, name="g-changed", disk_format="qcow2", container_format="ovf", shape=None)


@covers(
    "glance image-list --limit --page-size --visibility --member-status --owner --property-filter --checksum --hash"
    " --tag --sort-key --sort-dir --sort --hidden --include-stores"
)
def test_images_are_listed_by_each_of_their_qualities(cloud: Cloud) -> None:
    lot, token = uuid4().hex, cloud.token("demo")
    one, two = (
        cloud.glint.create(token=token, name=f"g-{n}", lot=lot, tags=["gold"], visibility="community") for n in (1, 2)
    )
    digests = {"md5": CONTENT.digest("md5"), "sha512": CONTENT.digest()}
    cloud.glance("image-upload --file", cloud.disk, two)
    shared = cloud.glint.create(token=token, name="g-3", lot=lot, os_hidden=True)
    cloud.glance("member-create", shared, cloud.projects["alt"])

    def listed(words: str, by: str = "admin") -> list[str]:
        return [row[0] for row in rows(cloud.glance(f"image-list --property-filter lot={lot} {words}", by=by).text)]

    community = "--visibility community --owner " + cloud.projects["demo"]
    assert listed(f"{community} --sort name:asc --page-size 1") == [one, two]
    assert listed(f"{community} --sort-key name --sort-dir desc --limit 1") == [two]
    assert listed(f"{community} --tag gold --checksum {digests['md5']}") == [two]
    assert listed(f"{community} --hash {digests['sha512']}") == [two]
    assert listed("--hidden True --visibility shared --member-status pending", by="alt") == [shared]
    assert listed("--hidden True --visibility shared --member-status accepted", by="alt") == []
    table = rows(cloud.glance(f"image-list --include-stores --property-filter lot={lot} {community}").text)
    assert {row[0]: row[-1] for row in table} == {one: "", two: "local"}


@covers(
    "glance image-download --allow-md5-fallback --file --progress --prefer",
    "glance image-upload --file --size --progress",
)
def test_data_go_up_and_come_down_in_every_manner(cloud: Cloud, tmp_path: Path) -> None:
    image_id, target = cloud.glint.create(token=cloud.token("demo"), name="g-manner"), tmp_path / "down.raw"
    cloud.glance("image-upload --size 300000 --progress --file", cloud.disk, image_id)
    cloud.glance("image-download --allow-md5-fallback --progress --prefer second,local --file", target, image_id)
    assert target.read_bytes() == CONTENT.read()
    cloud.refuses(lambda: cloud.glance("image-download --prefer none --file", target, image_id), "400")


@covers("glance image-show --human-readable --max-column-width", "glance image-stage --file --size --progress")
def test_an_image_is_shown_for_people_and_staged_with_its_size(cloud: Cloud) -> None:
    image_id = cloud.glint.create(token=cloud.token("demo"), name="g-people")
    cloud.glance("image-stage --size 300000 --progress --file", cloud.disk, image_id)
    assert cloud.show(image_id)["size"] == 300_000
    assert "293kB" in cloud.glance("image-show --human-readable --max-column-width 20", image_id).text
