"""The JSON schemas that are served, and the checks made with the very same documents. Pure.

Shape and keys are Glance's: nova and the clients read `properties`, `enum` and `is_base` out of them.
Source: glance/schema.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from proxy.api.config import ApiConfig
from proxy.api.image_schema import CustomProperties
from proxy.api.schema_properties import ADD_LOCATION, MEMBER, TASK, TASK_STUB, image_properties
from proxy.errors import BadRequest

Document = Mapping[str, Any]

_MESSAGE_MAX = 500


class Schemas:
    """The documents of one configuration, each built once, with the validators made of them."""

    def __init__(self, config: ApiConfig, custom: CustomProperties | None = None) -> None:
        custom = custom or CustomProperties()
        self.custom = frozenset(custom.properties)
        properties = {**image_properties(config), **custom.properties}
        self.image: Document = _image(
            properties, additional=config.allow_additional_image_properties, required=custom.required
        )
        self.images: Document = _images(self.image)
        self.member: Document = {"name": "member", "properties": MEMBER}
        self.members: Document = _collection("members", self.member)
        self.task: Document = {"name": "task", "properties": TASK}
        self.tasks: Document = _collection("tasks", {"name": "task", "properties": TASK_STUB})
        self._image = Draft202012Validator(self.image)
        self._attributes = {name: Draft202012Validator(schema) for name, schema in properties.items()}
        self._add_location = Draft202012Validator(ADD_LOCATION)
        self._task = Draft202012Validator(self.task)
        self._additional = config.allow_additional_image_properties

    def check_image(self, body: object) -> None:
        """Raises BadRequest if `body` is no image that a client may send."""
        if not isinstance(body, dict):
            raise BadRequest("The body must be a JSON object that describes an image.")
        _check(self._image, body, "image")

    def check_attribute(self, name: str, value: object) -> None:
        """Raises BadRequest if the attribute or custom property `name` cannot have this value."""
        if (validator := self._attributes.get(name)) is not None:
            _check(validator, value, name)
        elif not self._additional:
            raise BadRequest(f"Custom properties such as '{name}' are not allowed here.")
        elif not isinstance(value, str):
            raise BadRequest(f"'{name}': a custom property must be a string.")

    def check_add_location(self, body: object) -> None:
        """Raises BadRequest if `body` is not what POST …/locations takes."""
        _check(self._add_location, body, "location")

    def check_task(self, body: object) -> None:
        """Raises BadRequest if `body` is not what POST /v2/tasks takes."""
        if not isinstance(body, dict) or not {"type", "input"} <= body.keys() or not isinstance(body["input"], dict):
            raise BadRequest("Task 'type' and 'input' are required, the input as an object.")
        _check(self._task, body, "task")


def _check(validator: Draft202012Validator, value: object, what: str) -> None:
    # The first error is enough: looking for the best one would read all of a body that is wrong throughout.
    error = next(validator.iter_errors(value), None)
    if error is not None:
        path = ".".join([what, *(str(part) for part in error.absolute_path)])
        # The library's message quotes the value, and a location's URL may hold a password.
        quotes = what not in {"location", "locations"} and len(error.message) <= _MESSAGE_MAX
        message = error.message if quotes else f"breaks the rule {error.validator} = {error.validator_value!r}"
        raise BadRequest(f"The body does not match the schema: {path}: {message}")


_IMAGE_LINKS = [
    {"rel": "self", "href": "{self}"},
    {"rel": "enclosure", "href": "{file}"},
    {"rel": "describedby", "href": "{schema}"},
]


def _image(properties: Document, *, additional: bool, required: Sequence[str]) -> Document:
    document = {
        "name": "image",
        "properties": properties,
        "additionalProperties": {"type": "string"} if additional else False,
        "links": _IMAGE_LINKS,
    }
    return {**document, "required": list(required)} if required else document


def _images(image: Document) -> Document:
    return {
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": image},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def _collection(name: str, item: Document) -> Document:
    return {
        "name": name,
        "properties": {name: {"type": "array", "items": item}, "schema": {"type": "string"}},
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }
