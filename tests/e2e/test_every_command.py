"""No command and no option of the installed clients is without a test, and what is driven is what users start."""

from collections.abc import Mapping
from types import ModuleType

from tests.e2e import (
    test_glance_commands,
    test_glance_metadef_commands,
    test_glance_options,
    test_openstack_commands,
    test_openstack_options,
)
from tests.e2e.cloud import Cloud
from tests.peers.clients import ClientFailed, Clients

STORIES = (
    test_glance_commands,
    test_glance_metadef_commands,
    test_glance_options,
    test_openstack_commands,
    test_openstack_options,
)

_FIRST_API = "of the first API: the client itself refuses it, as test_openstack_options shows of two"
_NO_SIZE = "the client itself refuses it: sizes are for uploads"
_SIGNS = "asks for a password at a terminal; what it signs, tests/api/test_signatures.py verifies"
LEFT_OUT: Mapping[str, str] = {
    "glance image-create --size": _NO_SIZE,
    "glance image-create-via-import --size": _NO_SIZE,
    "glance md-namespace-create --resource-type-associations": "the client takes words, and its own schema objects",
    "openstack image set --visibility": _FIRST_API,
    "openstack image create --sign-key-path": _SIGNS,
    "openstack image create --sign-cert-id": _SIGNS,
    "glance md-tag-create-multiple --append": "the pinned client fails of itself, before it sends anything",
    "openstack image create --volume": "asks Cinder, which asks Glance for an upload as any client",
    "openstack image create --force": "goes with --volume",
    **{f"openstack image create --{name}": _FIRST_API for name in ("location", "copy-from", "checksum", "store")},
}


def covered(module: ModuleType) -> set[str]:
    marks = [mark for value in vars(module).values() for mark in getattr(value, "pytestmark", [])]
    return {name for mark in marks if mark.name == "covers" for name in mark.args}


def test_every_command_that_the_clients_register_has_a_test(cloud: Cloud) -> None:
    with_test = set().union(*map(covered, STORIES))
    with_test = {name.partition(" --")[0] for name in with_test}
    registered = cloud.clients.commands()
    assert registered - with_test == set(), "these commands have no test"
    assert with_test - registered == set(), "there are no such commands"


def test_every_option_of_every_command_has_a_test(cloud: Cloud) -> None:
    with_test = set().union(*map(covered, STORIES)) | LEFT_OUT.keys()
    without = {
        f"{command} {'/'.join(names)}"
        for command, options in cloud.clients.options().items()
        for names in options
        if not with_test & {f"{command} {name}" for name in names}
    }
    assert without == set(), "these options have no test"


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
