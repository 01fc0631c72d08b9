"""Which images an operator means: by id, by name, by tag or property, or all that are active."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.commands.errors import NotChosen
from proxy.commands.node import ImageInfo, Node
from proxy.commands.text import size_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was asked for: the images named, and beside them the active ones that have all tags and properties."""

    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.names or self.tags or self.properties or self.everything)


async def choose(node: Node, selection: Selection) -> list[ImageInfo]:
    """The images on this node, each once. Raises NotChosen, with all names that are wrong, and if nothing is chosen."""
    chosen: dict[str, ImageInfo] = {}
    problems = []
    for name in dict.fromkeys(selection.names):
        try:
            image = await by_name(node, name)
        except NotChosen as error:
            problems.append(str(error))
        else:
            chosen[image.id] = image
    if problems:
        raise NotChosen("\n".join(problems))
    if selection.tags or selection.properties or selection.everything:
        chosen |= {image.id: image for image in await _matching(node, selection)}
    if not chosen:
        raise NotChosen(f"there is no active image{_described(selection)}")
    return list(chosen.values())


async def by_name(node: Node, name: str) -> ImageInfo:
    """The image of this id, else the only one of this name. Raises NotChosen."""
    if (image := await node.image(name)) is not None:
        return image
    found = await node.images([("name", f"eq:{name}")])
    if not found:
        raise NotChosen(f"no image has the id or the name {name!r}")
    if len(found) > 1:
        lines = [f"  {image.id}  {image.status}, {size_text(image.size_bytes)}" for image in found]
        raise NotChosen(f"{len(found)} images have the name {name!r}; say which by its id:\n" + "\n".join(lines))
    return found[0]


async def _matching(node: Node, selection: Selection) -> list[ImageInfo]:
    parameters = [("tag", tag) for tag in selection.tags] + list(selection.properties.items()) + [("status", "active")]
    found = await node.images(parameters)
    # A property may be called like a parameter that is no filter; what came is therefore looked at once more.
    return [
        image
        for image in found
        if all(str(image.fields.get(name)) == value for name, value in selection.properties.items())
    ]


def _described(selection: Selection) -> str:
    tags = [f"the tag {tag!r}" for tag in selection.tags]
    wanted = tags + [f"the property {name}={value}" for name, value in selection.properties.items()]
    return " with " + " and ".join(wanted) if wanted else ""
