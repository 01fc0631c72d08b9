"""The composition root: opens every part in order, hands each its own section, closes all in reverse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from cache import ImageCache, Prewarmer, Queue, TokenCache
from metrics import Instruments, watch_loop_lag
from proxy.api import image_schema
from proxy.api.config import ApiConfig
from proxy.api.image_schema import CustomProperties
from proxy.authentication import Authenticator, KeystoneAuthentication, NoAuthentication
from proxy.config import Config
from proxy.deletion.scrubber import Scrubber
from proxy.departure import Departure
from proxy.imports.importer import Importer
from proxy.imports.job import ImportJob
from proxy.imports.location_import import LocationImport, LocationImports
from proxy.imports.plugins import check_programs
from proxy.imports.task_import import TaskImport
from proxy.imports.tools import ImportTools
from proxy.policy import Policy, PropertyProtections, load_protections
from proxy.prewarm import resolve
from proxy.quotas import Quotas
from proxy.repairs import Repairs
from proxy.shared import Shared
from proxy.tasks import TaskRunner
from proxy.transfer import Sender
from upstream.errors import Unauthenticated
from upstream.glances import Glances, open_glances
from upstream.identity import Keystone, KeystoneLimits
from upstream.keys import Keys, open_keys
from upstream.registry import Registry, open_registry
from upstream.stage_hosts import StageHosts, open_stage_hosts
from upstream.stores import Staging, Stores, open_staging, open_stores, open_web
from upstream.types import GLINT


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What it takes to deliver images and to look after the cache, whoever knows what images there are."""

    config: Config
    instruments: Instruments
    authenticator: Authenticator
    policy: Policy
    stores: Stores
    cache: ImageCache
    prewarmer: Prewarmer
    sender: Sender
    departure: Departure = field(default_factory=Departure)

    def begin_drain(self) -> None:
        """No new work in the background from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services(Delivery):
    """What handlers use. Everything in here is open as long as the context of `open_services`."""

    protections: PropertyProtections
    custom_properties: CustomProperties
    registry: Registry
    quotas: Quotas
    staging: Staging
    stage_hosts: StageHosts
    keys: Keys
    importer: Importer
    tasks: TaskRunner
    location_imports: LocationImports
    repairs: Repairs
    scrubber: Scrubber

    def begin_drain(self) -> None:
        self.tasks.begin_drain()


@asynccontextmanager
async def open_services(config: Config, shared: Shared | None = None) -> AsyncIterator[Services]:
    """Enter and leave in the same task: the parts own task groups. Raises what a part cannot start for.

    `shared`: with other workers; None for who is alone.
    """
    instruments = Instruments()
    notices, ranges = (shared.notices, shared.ranges) if shared else (None, None)
    async with AsyncExitStack() as stack:
        policy, protections, custom_properties = await asyncio.to_thread(_load_files, config.api)
        registry = await stack.enter_async_context(open_registry(config.registry))
        stores = await stack.enter_async_context(open_stores(config.stores, instruments, notices=notices))
        delay_s = config.deletion.scrub_time_s if config.deletion.delayed else 0.0
        scrubber = Scrubber(registry, stores, instruments, delay_s=delay_s)
        cache = ImageCache(config.cache, instruments, ranges)
        prewarmer = Prewarmer(
            cache,
            Queue(config.cache.dir),
            partial(resolve, registry, stores),
            prewarms_max=config.cache.prewarms_max,
        )
        await stack.enter_async_context(cache)
        await stack.enter_async_context(prewarmer)
        authenticator, limits, glances, keys = await _open_identity(config, policy, instruments, stack)
        quotas = Quotas(config.api, registry.usage, limits)
        staging = await stack.enter_async_context(open_staging(config.api.staging_dir))
        importing = LocationImports(registry, stores, cache, config.api)
        stack.push_async_callback(importing.close)
        tools = ImportTools(
            config=config.api,
            registry=registry,
            stores=stores,
            staging=staging,
            web=await stack.enter_async_context(open_web(config.api.import_filter)),
            glances=glances,
            keys=keys,
            quotas=quotas,
            scrubber=scrubber,
            cache=cache,
            threads=importing.threads,
        )
        importer = Importer(tools)
        sender = open_sender(config, instruments, stack)
        tasks = TaskRunner(
            registry.tasks,
            config.api.staging_dir / "tasks",
            running_max=config.api.tasks_max,
            time_to_live_h=config.api.task_time_to_live_h,
            drain_s=config.server.drain_s,
        )
        tasks.makers[ImportJob.TASK_TYPE] = importer.recovered
        tasks.makers[TaskImport.TASK_TYPE] = lambda task: TaskImport(tools, task, GLINT, "Its process is gone.")
        tasks.makers[LocationImport.TASK_TYPE] = importing.recovered
        await stack.enter_async_context(tasks)
        watchers = await stack.enter_async_context(asyncio.TaskGroup())
        repairs = Repairs()
        for watch in (
            policy.watch(),
            watch_loop_lag(instruments),
            importer.clean_staging(),
            scrubber.watch(),
            repairs.run(),
        ):
            stack.callback(watchers.create_task(watch).cancel)
        yield Services(
            config=config,
            instruments=instruments,
            authenticator=authenticator,
            policy=policy,
            protections=protections,
            custom_properties=custom_properties,
            registry=registry,
            quotas=quotas,
            stores=stores,
            cache=cache,
            prewarmer=prewarmer,
            sender=sender,
            staging=staging,
            stage_hosts=await stack.enter_async_context(open_stage_hosts()),
            importer=importer,
            tasks=tasks,
            location_imports=importing,
            repairs=repairs,
            scrubber=scrubber,
            keys=keys,
        )


def open_sender(config: Config, instruments: Instruments, stack: AsyncExitStack) -> Sender:
    """Raises NoSuchAlgorithm."""
    sender = Sender(
        instruments,
        client_idle_s=config.server.client_idle_s,
        congestion_control=config.server.tcp_congestion_control,
    )
    stack.push_async_callback(sender.close)
    return sender


async def _open_identity(
    config: Config, policy: Policy, instruments: Instruments, stack: AsyncExitStack
) -> tuple[Authenticator, KeystoneLimits | None, Glances | None, Keys]:
    """Who asks, and what else Keystone knows: how much he may have, where other Glances are, and the key manager."""
    if config.auth.kind == "none":
        return NoAuthentication(), None, None, await stack.enter_async_context(open_keys(config.key_manager, None))
    tokens = await stack.enter_async_context(
        TokenCache(config.token_cache, instruments, invalid=Unauthenticated),
    )
    section = config.auth.keystone
    keystone = await stack.enter_async_context(Keystone(section, instruments))
    limits = KeystoneLimits(section.limits, keystone, region=section.region_name)
    authenticator = KeystoneAuthentication(
        section, keystone, tokens, policy, allow_anonymous_access=config.auth.allow_anonymous_access
    )
    glances = await stack.enter_async_context(open_glances(keystone))
    keys = await stack.enter_async_context(open_keys(config.key_manager, keystone))
    return authenticator, limits if config.api.use_keystone_limits else None, glances, keys


def _load_files(config: ApiConfig) -> tuple[Policy, PropertyProtections, CustomProperties]:
    """Raises what is wrong with one of the files, or a program that is not there."""
    check_programs(config.import_plugins)
    policy = Policy(
        config.policy_file,
        enforce_scope=config.enforce_scope,
        enforce_new_defaults=config.enforce_new_defaults,
    )
    protections = load_protections(config.property_protection_file, config.property_protection_rule_format, policy)
    return policy, protections, image_schema.load(config.image_schema_file, config)
