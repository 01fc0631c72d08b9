"""`glint cache pin | unpin`: keep images in the cache whatever else needs room, or no longer."""

from collections.abc import Mapping

import typer

from proxy.commands.errors import NotChosen
from proxy.commands.places import Options, Place, open_places
from proxy.commands.text import print_json
from proxy.config import Config


async def pin(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    """Whether every image was there and is pinned now."""
    return await _set(config, options, environment, pinned=True)


async def unpin(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    return await _set(config, options, environment, pinned=False)


async def _set(config: Config, options: Options, environment: Mapping[str, str], *, pinned: bool) -> bool:
    all_there = True
    async with open_places(config, options, environment) as places:
        for place in places:
            for name in dict.fromkeys(options.images):
                try:
                    await _set_one(place, options, name, pinned=pinned)
                except NotChosen as error:
                    typer.echo(f"glint: {error}", err=True)
                    all_there = False
    return all_there


async def _set_one(place: Place, options: Options, name: str, *, pinned: bool) -> None:
    cached, _ = await place.holder.entries()
    image_id, _image = await place.identify(name, cached)
    is_there = any(entry.id == image_id for entry in cached) and await place.holder.pin(image_id, pinned=pinned)
    if not is_there:
        advice = f"; `glint prewarm --pin {name}` brings it in and pins it" if pinned else ""
        raise NotChosen(f"{name} is not in the cache at {place.where}{advice}")
    if options.as_json:
        print_json({"node": place.where, "id": image_id, "pinned": pinned})
    else:
        typer.echo(f"{name}: {'pinned' if pinned else 'unpinned'}")
