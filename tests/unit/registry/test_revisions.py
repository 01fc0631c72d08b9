"""What a database is by its tables and stamps, and what its operator is told."""

import pytest

from upstream.registry.sql.revisions import CONTRACT_HEAD, EXPAND_HEAD, Standing, advice, judge

KNOWN = {"alembic_version", "images", "tasks"}


@pytest.mark.parametrize(
    ("tables", "stamps", "has_rows", "standing"),
    [
        (set(), set(), False, Standing.EMPTY),
        (KNOWN, {CONTRACT_HEAD}, True, Standing.CURRENT),
        (KNOWN, {CONTRACT_HEAD, EXPAND_HEAD}, True, Standing.CURRENT),
        (KNOWN | {"of others"}, {CONTRACT_HEAD}, True, Standing.CURRENT),
        (KNOWN, {"2023_1_contract01"}, True, Standing.OLDER),
        (KNOWN, {"2023_1_contract01", EXPAND_HEAD}, True, Standing.OLDER),
        (KNOWN, {"queens_contract01", "rocky_expand02"}, True, Standing.OLDER),
        (KNOWN, {"queens_contract01"}, True, Standing.OLDER),
        (KNOWN, {EXPAND_HEAD}, True, Standing.ANCIENT),
        (KNOWN, {"mitaka02"}, True, Standing.ANCIENT),
        (KNOWN, {"ocata_contract01", "pike_expand01"}, True, Standing.ANCIENT),
        (KNOWN, {"ocata_contract01", EXPAND_HEAD}, True, Standing.ANCIENT),
        (KNOWN | {"migrate_version"}, set(), True, Standing.ANCIENT),
        (KNOWN, {"2031_1_contract01"}, True, Standing.UNKNOWN),
        (KNOWN, {CONTRACT_HEAD, "2031_1_expand01"}, True, Standing.UNKNOWN),
        (KNOWN, set(), True, Standing.UNSTAMPED),
        (KNOWN, set(), False, Standing.UNFINISHED),
        (KNOWN | {"artifacts"}, set(), False, Standing.UNSTAMPED),
        ({"alembic_version"}, set(), False, Standing.UNFINISHED),
        ({"images"}, set(), False, Standing.UNSTAMPED),
        ({"users"}, set(), False, Standing.FOREIGN),
        ({"users", "alembic_version"}, {"29e87d24a316"}, False, Standing.FOREIGN),
        ({"users", "alembic_version"}, set(), False, Standing.FOREIGN),
        ({"migrate_version", "instances"}, set(), False, Standing.FOREIGN),
    ],
)
def test_a_database_is_judged(tables: set[str], stamps: set[str], has_rows: bool, standing: Standing) -> None:
    state = judge(tables, KNOWN, stamps, has_rows=has_rows)
    assert state.standing is standing
    told = advice(state)
    assert all(stamp in told for stamp in stamps) or standing is Standing.FOREIGN or standing is Standing.CURRENT
    assert standing in {Standing.CURRENT, Standing.UNFINISHED, Standing.FOREIGN} or CONTRACT_HEAD in told
