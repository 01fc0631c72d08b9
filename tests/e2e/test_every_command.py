"""No command of the installed clients is without a test, and commands that are driven are those that users start."""

from types import ModuleType

from tests.e2e import test_glance_commands, test_openstack_commands
from tests.e2e.cloud import Cloud
from tests.peers.clients import ClientFailed, Clients

STORIES = (test_glance_commands, test_openstack_commands)


def covered(module: ModuleType) -> set[str]:
    marks = [mark for value in vars(module).values() for mark in getattr(value, "pytestmark", [])]
    return {name for mark in marks if mark.name == "covers" for name in mark.args}


def test_every_command_that_the_clients_register_has_a_test(cloud: Cloud) -> None:
    with_test = set().union(*map(covered, STORIES))
    registered = {name for name in cloud.clients.commands() if not name.startswith("glance md-")}
    assert registered - with_test == set(), "these commands have no test"
    assert with_test - registered == set(), "there are no such commands"


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
