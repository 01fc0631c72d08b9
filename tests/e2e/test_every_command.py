"""Commands that are driven are those that users start."""

from tests.e2e.cloud import Cloud
from tests.peers.clients import ClientFailed, Clients


def test_a_driven_command_prints_what_the_program_prints(cloud: Cloud, clients: Clients) -> None:
    image_id = cloud.image("driven")
    demo = cloud.people["demo"]
    words = ("image", "show", "-f", "json", image_id)
    assert cloud.clients.openstack(demo, *words).json() == clients.run_openstack(demo, *words).json()
    assert cloud.clients.glance(demo, "image-show", image_id) == clients.run_glance(demo, "image-show", image_id)
    assert failure(lambda: cloud.clients.glance(demo, "image-show", "none")) == failure(
        lambda: clients.run_glance(demo, "image-show", "none")
    )


def failure(run: object) -> tuple[int | None, str]:
    assert callable(run)
    try:
        run()
    except ClientFailed as failed:
        return failed.exit_code, failed.stderr
    raise AssertionError("it ended well")
