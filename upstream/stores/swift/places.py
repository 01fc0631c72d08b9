"""Which account a location is read by. No credentials go anywhere that the operator did not name."""

import hashlib

import aiohttp
from pydantic import SecretStr

from upstream.errors import Denied, Invalid
from upstream.stores.swift.accounts import Account
from upstream.stores.swift.client import Place
from upstream.stores.swift.config import Reference, SwiftStoreConfig
from upstream.stores.swift.urls import SwiftTarget, container_of, origin_of, parse_swift

_FOREIGN_MAX = 256  # accounts of rows; the oldest is forgotten first


class Places:
    """Finds the account of each location, and keeps the accounts with their tokens."""

    def __init__(self, store_id: str, config: SwiftStoreConfig, session: aiohttp.ClientSession) -> None:
        self._id, self._config, self._session = store_id, config, session
        self._named = {name: self._account(reference) for name, reference in config.references.items()}
        self._foreign: dict[tuple[str, str, bytes], Account] = {}

    def new(self, image_id: str) -> Place:
        """Where an upload goes."""
        container = container_of(image_id, self._config.container, self._config.multiple_containers_seed)
        return Place(account=self._named[self._config.default_reference], container=container, name=image_id)

    async def find(self, url: str) -> Place:
        """Raises Invalid, Denied where its credentials may not be shown to its host, and what a login raises."""
        target = parse_swift(url)
        if target.reference is not None:
            if target.reference not in self._named:
                raise Invalid(f"{self._id} has no account by the reference {target.reference}")
            return _place(self._named[target.reference], target)
        if target.user is None:
            return await self._without_credentials(target)
        return _place(self._with_credentials(target, target.user, target.key or ""), target)

    def _with_credentials(self, target: SwiftTarget, user: str, key: str) -> Account:
        """Of a configured user the key is the configured one: it may be newer than the row."""
        alike = self._alike(target)
        for name in alike:
            if self._config.references[name].user == user:
                return self._named[name]
        if alike:
            base, address = self._config.references[alike[0]], self._config.references[alike[0]].auth_address
        elif origin_of(target.address) in map(origin_of, self._config.further_auth_addresses):
            base, address = self._config.default, target.address
            version = 1 if "/v1" in address else 3
            base = base.model_copy(update={"auth_version": version})
        else:
            raise Denied(f"{self._id} shows a location's credentials to no host that its configuration does not name")
        return self._foreign_account(base, address, user, key)

    def _foreign_account(self, base: Reference, address: str, user: str, key: str) -> Account:
        known_by = (address, user, hashlib.sha256(key.encode()).digest())
        if known_by not in self._foreign:
            if len(self._foreign) >= _FOREIGN_MAX:
                del self._foreign[next(iter(self._foreign))]
            own = {"auth_address": address, "user": user, "key": SecretStr(key)}
            application = {"application_credential_id": None, "application_credential_secret": None}
            try:
                reference = Reference.model_validate({**base.model_dump(), **own, **application})
            except ValueError:
                raise Invalid("the credentials of a location in Swift need the form project%3Auser:key") from None
            self._foreign[known_by] = self._account(reference)
        return self._foreign[known_by]

    async def _without_credentials(self, target: SwiftTarget) -> Place:
        """Of an application credential; or of a Glance whose users have accounts of their own, read with our token."""
        if alike := self._alike(target):
            return _place(self._named[alike[0]], target)
        account = self._named[self._config.default_reference]
        grant = await account.grant()
        if origin_of(grant.storage_url) != origin_of(target.address):
            raise Denied(f"{self._id} reads a location without credentials in its own Swift only")
        return _place(account, target, target.address.rstrip("/"))

    def _alike(self, target: SwiftTarget) -> list[str]:
        """References with the login that the location names, the default one first."""
        references, origin = self._config.references, origin_of(target.address)
        found = [name for name, reference in references.items() if origin_of(reference.auth_address) == origin]
        return sorted(found, key=lambda name: name != self._config.default_reference)

    def _account(self, reference: Reference) -> Account:
        return Account(self._id, reference, self._config, self._session)


def _place(account: Account, target: SwiftTarget, storage_url: str | None = None) -> Place:
    return Place(account=account, container=target.container, name=target.name, storage_url=storage_url)
