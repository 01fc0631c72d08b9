"""The other Glints and Glances on our database: what has to be done where an image's data are staged."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from upstream.errors import BrokenAnswer, Unreachable
from upstream.http import METADATA_NETWORKS, AddressGuard, GuardedResolver

SERVICE = "the host that has the staged data"
_ANSWER_S = 60.0  # as in Glance
_BODY_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAnswer:
    """What the other host said, whole."""

    status: int
    content_type: str | None
    body: bytes


class StageHosts:
    """Safe to use from many tasks at once. No redirect is followed: the token is for the host that is named."""

    def __init__(self, session: aiohttp.ClientSession, guard: AddressGuard) -> None:
        self._session, self._guard = session, guard

    async def ask(self, method: str, url: str, headers: Mapping[str, str], document: Any = None) -> HostAnswer:
        """Raises Unreachable if there is no connection or none that lasts, BrokenAnswer, Denied."""
        try:
            target = URL(url)
            self._guard.check_url(target)
            async with asyncio.timeout(_ANSWER_S):
                async with self._session.request(
                    method, target, headers=headers, json=document, allow_redirects=False
                ) as response:
                    body = await response.content.read(_BODY_MAX_BYTES)
                    return HostAnswer(
                        status=response.status, content_type=response.headers.get("Content-Type"), body=body
                    )
        except ValueError as error:  # aiohttp's InvalidURL is one
            raise Unreachable(SERVICE, "its worker_self_reference_url is no URL") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(SERVICE, "it cannot be connected to in time") from error
        except TimeoutError as error:
            raise BrokenAnswer(SERVICE, "no answer in time") from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise Unreachable(SERVICE, f"the connection failed ({type(error).__name__})") from error
        except aiohttp.ClientError as error:
            raise BrokenAnswer(SERVICE, f"its answer cannot be read ({type(error).__name__})") from error


@asynccontextmanager
async def open_stage_hosts() -> AsyncIterator[StageHosts]:
    guard = AddressGuard(SERVICE, allowed_hosts=(), denied=METADATA_NETWORKS)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=GuardedResolver(guard)),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "glint"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
    )
    async with session:
        yield StageHosts(session, guard)
