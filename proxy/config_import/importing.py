"""From what the files say to Glint's configuration, and to a report in which every assignment occurs. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from proxy.config_import.conf import Assignment, Conf
from proxy.config_import.options import Source
from proxy.config_import.outcomes import Dropped, Failing, Key, Mapped, Outcome
from proxy.config_import.paste import Paste
from proxy.config_import.rows import Import, Surroundings
from proxy.config_import.table import OPTIONS, ROWS, row_of

_UNKNOWN = "no Glance reads an option of this name"


@dataclass(frozen=True, slots=True)
class Imported:
    """`mapped` has each key once."""

    mapped: Sequence[Mapped]
    dropped: Sequence[Dropped]
    failing: Sequence[Failing]


def carry_over(files: Sequence[Sequence[Assignment]], beside: Surroundings, paste: Paste | None = None) -> Imported:
    """`files` as Glance reads them, the last one last."""
    source = Source(Conf(files), OPTIONS)
    work = Import(source=source, beside=beside, paste=paste)
    outcomes: list[Outcome] = [outcome for row in ROWS for outcome in row.decide(work)]
    outcomes += source.found
    mapped, overruled = _once_each([one for one in outcomes if isinstance(one, Mapped)])
    outcomes = [*mapped, *overruled, *(one for one in outcomes if not isinstance(one, Mapped))]
    outcomes += _rest(source.conf, {one for outcome in outcomes for one in outcome.said})
    return Imported(
        mapped=mapped,
        dropped=[one for one in outcomes if isinstance(one, Dropped)],
        failing=[one for one in outcomes if isinstance(one, Failing)],
    )


def _once_each(mapped: Sequence[Mapped]) -> tuple[list[Mapped], list[Dropped]]:
    """Where two rows give a key, the later one counts; both have said it if they say the same."""
    by_key: dict[Key, Mapped] = {}
    overruled = []
    for one in mapped:
        earlier = by_key.get(one.key)
        if earlier and earlier.value == one.value:
            said = tuple(dict.fromkeys((*earlier.said, *one.said)))
            by_key[one.key] = replace(one, said=said, note=one.note or earlier.note)
            continue
        if earlier and (lost := tuple(said for said in earlier.said if said not in one.said)):
            overruled.append(Dropped(lost, f"{one.dotted} is given otherwise"))
        by_key[one.key] = one
    return list(by_key.values()), overruled


def _rest(conf: Conf, told: set[Assignment]) -> Iterator[Dropped]:
    """What no row has spoken of: given again further on, without a counterpart, or unknown."""
    for one in conf.assignments:
        if one in told:
            continue
        option = OPTIONS.get((one.section, one.name))
        winner = conf.counting(option.names)[0] if option else conf.counting([(one.section, one.name)])[0]
        row = row_of(one.section, one.name)
        if winner is not one and winner != one:
            yield Dropped((one,), f"{winner.where} says it again, and counts")
        else:
            yield Dropped((one,), (row.reason if row else "") or _UNKNOWN)
