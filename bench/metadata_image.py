"""The image whose metadata is asked for: some properties and tags, as images in use have."""

import json

from bench.glint import Images
from bench.load import Requests
from bench.measuring import WrongBytes


def create(port: int, token: str) -> Requests:
    """Such an image, and the job of asking for it."""
    image_id = Images(port, token).create(
        "bench", tags=["bench", "ubuntu"], os_distro="ubuntu", hw_disk_bus="virtio", architecture="x86_64", min_ram=512
    )
    return Requests(host="127.0.0.1", port=port, path=f"/v2/images/{image_id}", headers={"X-Auth-Token": token})


PAGE = 20


def create_many(port: int, token: str) -> Requests:
    """A page of such images, and the job of asking for it."""
    for _ in range(PAGE):
        create(port, token)
    path = f"/v2/images?limit={PAGE}"
    return Requests(host="127.0.0.1", port=port, path=path, headers={"X-Auth-Token": token})


def check_many(server: str, body: str) -> None:
    """Raises WrongBytes."""
    found = json.loads(body)["images"]
    if len(found) != PAGE or any(image["os_distro"] != "ubuntu" for image in found):
        raise WrongBytes(f"{server} answered something else than a page of {PAGE} images")


def check(server: str, path: str, body: str) -> None:
    """Raises WrongBytes."""
    document = json.loads(body)
    if document["self"] != path or document["os_distro"] != "ubuntu" or sorted(document["tags"]) != ["bench", "ubuntu"]:
        raise WrongBytes(f"{server} answered something else than the image")
