"""A whole Glint whose default store speaks S3."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.stores.peers.s3 import bucket_of
from tests.glint import Glint
from tests.origin import MIB, Noise

CONTENT = Noise(12 * MIB + 5, seed=9)


async def test_an_image_is_uploaded_downloaded_and_deleted_and_no_key_is_shown(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Also of a row that a Glance of years ago wrote, with keys that count no more."""
    bucket = await bucket_of("rgw", request)
    config = bucket.config()
    keys = {"access_key": config.access_key.get_secret_value(), "secret_key": config.secret_key.get_secret_value()}
    backend = {"kind": "s3", "endpoint": config.endpoint, "bucket": bucket.name, "large_object_size": "5 MiB", **keys}
    settings = {
        "stores": {"default": "far", "backends": {"far": backend}},
        "api": {"show_multiple_locations": True, "show_image_direct_url": True},
    }
    database = tmp_path / "registry.db"
    url = f"s3://127.0.0.1:{bucket.port}/{bucket.name}"
    async with Glint(tmp_path, settings) as glint:
        image_id = await asyncio.to_thread(glint.upload, CONTENT.read())
        assert await bucket.names() == [image_id]
        with closing(sqlite3.connect(database)) as rows, rows:
            assert rows.execute("SELECT value FROM image_locations").fetchall() == [(f"{url}/{image_id}",)]
            rows.execute("UPDATE image_locations SET value = replace(value, 's3://', 's3://OLD:ro/tten@')")
            rows.execute("UPDATE image_locations SET meta_data = '{}'")

        shown = (await asyncio.to_thread(glint.get, f"/v2/images/{image_id}")).json
        file = await asyncio.to_thread(glint.get, f"/v2/images/{image_id}/file")
        detail = (await asyncio.to_thread(glint.get, "/v2/info/stores/detail")).json["stores"]
        deleted = await asyncio.to_thread(glint.request, "DELETE", f"/v2/images/{image_id}")

        assert shown["direct_url"] == f"{url}/{image_id}"
        assert shown["locations"] == [{"url": f"{url}/{image_id}", "metadata": {"store": "far"}}]
        assert file.content == CONTENT.read()
        await asyncio.to_thread(glint.until_counted, 1, "glint_downloads_total", outcome="miss")
        assert [one["properties"]["s3_store_large_object_size"] for one in detail if one["id"] == "far"] == [5 * MIB]
        assert deleted.status == 204
        assert await bucket.names() == []
        assert keys["secret_key"] not in glint.log
        assert "ro/tten" not in glint.log
