"""What a database is to us, by its tables and the revisions that Glance's migrations stamped it with. Pure."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

# Glance's migrations end here: releases after 2024.1 added none. A full sync leaves the contract head alone, because
# alembic lets it stand for the expand head it depends on; older notes show both.
CONTRACT_HEAD = "2024_1_contract01"
EXPAND_HEAD = "2024_1_expand01"
HEADS = frozenset({CONTRACT_HEAD, EXPAND_HEAD})

# How many revisions each release has in either branch; `migrations` goes on from any of these.
_RELEASES = {
    "queens": 1,
    "rocky": 2,
    "train": 1,
    "ussuri": 1,
    "wallaby": 1,
    "xena": 1,
    "yoga": 1,
    "zed": 1,
    "2023_1": 1,
    "2024_1": 1,
}
KNOWN = frozenset(
    f"{release}_{branch}{number:02}"
    for release, count in _RELEASES.items()
    for branch in ("expand", "contract")
    for number in range(1, count + 1)
)
_CONTRACTS = frozenset(revision for revision in KNOWN if "_contract" in revision)
# Before Queens: images were public or not, and there were tables of artifacts.
ANCIENT = frozenset({"liberty", "mitaka01", "mitaka02", "ocata01", "pike01"}) | {
    f"{release}_{branch}01" for release in ("ocata", "pike") for branch in ("expand", "contract")
}
_STAMPS, _OLD_STAMPS = "alembic_version", "migrate_version"  # of alembic, and of sqlalchemy-migrate before it


class Standing(StrEnum):
    EMPTY = "empty"
    UNFINISHED = "unfinished"  # its tables were being made when somebody was killed: none holds anything
    CURRENT = "current"
    OLDER = "older"  # and can be upgraded
    ANCIENT = "ancient"
    UNSTAMPED = "unstamped"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"


MAKEABLE = frozenset({Standing.EMPTY, Standing.UNFINISHED})


@dataclass(frozen=True, slots=True)
class State:
    """How a database was found. `others` are tables that are none of Glance's."""

    standing: Standing
    stamps: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    @property
    def found(self) -> str:
        return ", ".join(sorted(self.stamps)) or "(none)"


def judge(tables: AbstractSet[str], known: AbstractSet[str], stamps: AbstractSet[str], *, has_rows: bool) -> State:
    """`known` are the tables of the schema, `has_rows` whether any of them holds a row but for the stamps."""
    others = frozenset(tables - known - {_OLD_STAMPS})
    return State(_standing(tables, known, stamps, others, has_rows=has_rows), frozenset(stamps), others)


def _standing(
    tables: AbstractSet[str],
    known: AbstractSet[str],
    stamps: AbstractSet[str],
    others: AbstractSet[str],
    *,
    has_rows: bool,
) -> Standing:
    if not tables:
        return Standing.EMPTY
    is_glances = bool(tables & (known - {_STAMPS}))
    if stamps:
        return _by_stamps(stamps, is_glances=is_glances)
    if not is_glances:
        return Standing.FOREIGN if others or _OLD_STAMPS in tables else Standing.UNFINISHED
    if _OLD_STAMPS in tables:
        return Standing.ANCIENT
    return Standing.UNFINISHED if _STAMPS in tables and not others and not has_rows else Standing.UNSTAMPED


def _by_stamps(stamps: AbstractSet[str], *, is_glances: bool) -> Standing:
    if CONTRACT_HEAD in stamps and stamps <= HEADS:
        return Standing.CURRENT
    if stamps <= KNOWN and not stamps.isdisjoint(_CONTRACTS):
        return Standing.OLDER
    if stamps <= KNOWN | ANCIENT:
        return Standing.ANCIENT  # also where expansions alone are stamped: the contractions since Ocata are to come
    return Standing.UNKNOWN if is_glances else Standing.FOREIGN


_SYNC = "run `glance-manage db sync` of Glance 2024.1 or later on it, after a backup"


def advice(state: State) -> str:
    """What is there, what is wanted and what to do, for whatever is not current."""
    other = min(state.others, default="alembic_version")
    return {
        Standing.EMPTY: f"this database is empty, and revision {CONTRACT_HEAD} is needed: run `glint registry init`",
        Standing.UNFINISHED: "the tables of this database were not finished, and hold nothing yet: "
        "run `glint registry init`",
        Standing.OLDER: f"this database is at revision {state.found}, and {CONTRACT_HEAD} is needed: run `glint "
        "registry init`, after a backup. It does what `glance-manage db sync` would do",
        Standing.ANCIENT: f"this database is at revision {state.found}, where Glint cannot go on from, and "
        f"{CONTRACT_HEAD} is needed: {_SYNC}",
        Standing.UNSTAMPED: "this database has tables of Glance's, but no alembic_version says at which revision, and "
        f"{CONTRACT_HEAD} is needed. If a Glance made it, {_SYNC}",
        Standing.UNKNOWN: f"this database is at revision {state.found}, and {CONTRACT_HEAD} is needed. If a newer "
        f"Glance made it, a newer Glint is needed; else {_SYNC}",
        Standing.FOREIGN: f"this database belongs to another program: it has the table {other}, and none of Glance's. "
        "Name an empty database, or a Glance's",
        Standing.CURRENT: f"this database is at revision {CONTRACT_HEAD}",
    }[state.standing]
