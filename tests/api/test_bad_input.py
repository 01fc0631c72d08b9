"""Whatever a client sends is answered as the client's mistake: there is no 5xx, and no error that nobody expected."""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import product
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from tests.api.client import OCTETS, V21, Client

V20 = "application/openstack-images-v2.0-json-patch"
DEEP = 100_000


@pytest.fixture(autouse=True)
def _nothing_unexpected_happens() -> Iterator[None]:
    with capture_logs() as logs:
        yield
    assert [entry for entry in logs if entry["event"] in {"request.failed", "response.cut"}] == []


NOT_JSON: Mapping[str, bytes] = {
    "nothing": b"",
    "half": b'{"name": ',
    "more than one": b"{}{}",
    "deep lists": b"[" * DEEP,
    "deep lists that close": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a number of many digits": b'{"min_ram": ' + b"9" * 5000 + b"}",
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "Latin-1": b'{"name": "\xe9"}',
    "surrogates in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "a bare NUL": b'{"name": "\0"}',
    "half a pair": b'{"name": "\\ud800"}',
    "half a pair in a key": b'{"\\udc00": "x"}',
    "an escaped NUL": b'{"name": "\\u0000"}',
    "an escaped NUL in a key": b'{"a\\u0000b": "x"}',
    "a text": b'"x"',
    "a number": b"1e999",
    "null": b"null",
    "NaN": b"NaN",
    "binary": bytes(range(256)),
}
"""Bodies that no resource takes."""


async def test_a_body_that_is_no_storable_json_is_refused(client: Client) -> None:
    path = await client.create()
    targets = [
        ("POST", "/v2/images", ""),
        ("PATCH", path, V21),
        ("PATCH", path, V20),
        ("POST", f"{path}/locations", ""),
    ]
    for (name, body), (method, target, kind) in product(NOT_JSON.items(), targets):
        answer = await client.ask(method, target, data=body, headers={"Content-Type": kind or "application/json"})
        assert answer.status == 400, (name, method, target, answer.text)


ODD_IMAGES: Mapping[str, tuple[str, int]] = {
    "a key twice": ('{"name": "a", "name": "b"}', 201),
    "NaN as memory": ('{"min_ram": NaN}', 400),
    "no end of memory": ('{"min_ram": Infinity}', 400),
    "less than none": ('{"min_ram": -1e400}', 400),
    "a large float": ('{"min_disk": 1e308}', 400),
    "a large integer": ('{"min_disk": 1' + "0" * 400 + "}", 400),
    "a whole float": ('{"min_disk": 2.0}', 201),
    "true for a number": ('{"min_disk": true}', 400),
    "NaN as a property": ('{"x": NaN}', 400),
    "four bytes in the name": ('{"name": "\U0001f600"}', 400),
    "an escaped pair in the name": ('{"name": "\\ud83d\\ude00"}', 400),
    "four bytes in a property": ('{"x": "\U0001f600"}', 400),
    "a property without a name": ('{"": "x"}', 201),
    "a long name of a property": ('{"' + "x" * 256 + '": "x"}', 400),
    "a long owner": ('{"owner": "' + "x" * 256 + '"}', 400),
    "a line feed after the id": ('{"id": "00000000-0000-4000-8000-000000000000\\n"}', 400),
    "tags that are no texts": ('{"tags": [[], {}]}', 400),
    "tags that say the same": ('{"tags": ["a", "a"]}', 201),
    "an object for a text": ('{"name": {"$ne": null}}', 400),
    "a key of objects": ('{"__proto__": {"x": 1}}', 400),
}


async def test_odd_images_are_taken_or_refused(client: Client) -> None:
    for name, (body, status) in ODD_IMAGES.items():
        answer = await client.ask("POST", "/v2/images", data=body)
        assert answer.status == status, (name, answer.text)


QUERIES = [
    "limit=" + "9" * 5000,
    "limit=\u0661",
    "limit=1_0",
    "limit=-0",
    "marker=" + "x" * 5000,
    "created_at=gt:0001-01-01T00:00:00%2B23:59",
    "created_at=lt:9999-12-31T23:59:59-23:59",
    "created_at=0000-00-00",
    "created_at=gt:2026-W01-1T99",
    "updated_at=in:2026-01-01T00:00:00Z",
    "size_min=" + "9" * 5000,
    "size_max=-9223372036854775808",
    "size=9223372036854775807&virtual_size=-9223372036854775808&min_ram=2147483648",
    "_min=1&_max=1",
    "id=in:" + ",".join("x" * 2000),
    "name=in:" + "%22" * 999,
    "name=%F0%9F%98%80&%F0%9F%98%80=x",
    "%00=x",
    "name=%ed%a0%80",
    "=&=&&&=x",
    "sort=" + ",".join(["name"] * 500),
    "sort=name:asc:desc",
    "sort_key=name&sort_dir=",
    "sort=name;drop%20table%20images",
    "tag=%25&tag=_&tag=",
    "owner=%27%20or%201=1--",
    "visibility=&member_status=all",
    "&".join(f"p{n}=x" for n in range(300)),
    "&".join(f"tag=t{n}" for n in range(300)),
]


async def test_odd_queries_are_answered_or_refused(client: Client) -> None:
    for query in QUERIES:
        status = await exchange(client, request_line("GET", f"/v2/images?{query}"))
        assert status in {200, 400}, (query, status)


URLS = [
    "http://[",
    "http://[::1",
    "http://[::g]/x",
    "http://127.0.0.1:99999/x",
    "http://127.0.0.1:-1/x",
    "http://127.0.0.1:x/x",
    "http://127.0.0.1:" + "9" * 5000,
    "http://" + "a" * 300 + ".invalid/x",
    "http://a..invalid/x",
    "http://.invalid/x",
    "http://\u2603\u200d.invalid/x",
    "http://xn--.invalid/x",
    "http://%00.invalid/x",
    "http://%zz.invalid/x",
    "http://@:/x",
    "http://:@/x",
    "http://a b@127.0.0.1:1/x",
    "http:\\\\127.0.0.1\\x",
    "http:127.0.0.1",
    "http:/127.0.0.1/x",
    "http://127.0.0.1:1/x\r\nX: y",
    "http://127.0.0.1:1/\U0001f600",
    "http://0/x",
    "http://127.1:1/x",
    "https://127.0.0.1:1/" + "x" * 5000,
    "HTTP://127.0.0.1:1/x",
    "http+unix://127.0.0.1/x",
    "://x",
    "http://\u0130.invalid/x",
    "http://\u2100.invalid/x",
]


async def test_odd_locations_are_refused(client: Client) -> None:
    path = await client.create()
    for url in URLS:
        answer = await client.ask("POST", f"{path}/locations", json={"url": url})
        assert answer.status in {400, 403}, (url, answer.text)
    assert (await client.show(path))["status"] == "queued"


IDS = ["%2F", "%00", "a%2Fb", "..%2f..", "%", "%zz", "%ff", "x" * 4000, "%F0%9F%98%80", "%0d%0aX:y", "'--", "%25s", " "]


async def test_odd_ids_name_nothing(client: Client) -> None:
    path = await client.create()
    targets = [
        ("GET", "/v2/images/{}"),
        ("DELETE", "/v2/images/{}"),
        ("GET", "/v2/images/{}/file"),
        ("GET", "/v2/images/{}/locations"),
        ("GET", "/v2/cache/{}"),
        ("DELETE", "/v2/cache/{}"),
        ("GET", "/v2/images?marker={}"),
        ("DELETE", f"{path}/tags/{{}}"),
    ]
    for name, (method, target) in product(IDS, targets):
        status = await exchange(client, request_line(method, target.format(name)))
        assert status in {400, 404}, (method, target, name, status)


HEADERS: Mapping[str, Mapping[str, str]] = {
    "a range of many digits": {"Range": "bytes=0-" + "9" * 5000},
    "a range from many digits": {"Range": f"bytes={'9' * 5000}-"},
    "a suffix of many digits": {"Range": f"bytes=-{'9' * 5000}"},
    "a range in other digits": {"Range": "bytes=\u0661-\u0662"},
    "a content range of many digits": {"Content-Range": f"bytes {'9' * 5000}-{'9' * 5000}/{'9' * 5000}"},
    "a size of many digits": {"x-openstack-image-size": "9" * 5000},
    "a size below zero": {"x-openstack-image-size": "-1"},
    "a size that is none": {"x-openstack-image-size": "NaN"},
    "a store of bytes": {"x-image-meta-store": "\xff\xfe"},
    "a type of bytes": {"Content-Type": "\xff/\xfe"},
    "no type": {"Content-Type": ""},
    "a type with odd parameters": {"Content-Type": 'application/octet-stream; charset="\xff'},
    "a charset that is none": {"Content-Type": "application/octet-stream; charset=nonsense"},
    "multipart without a boundary": {"Content-Type": "multipart/form-data"},
    "qualities that are none": {"Accept": "text/html;q=nan, application/json;q=1e999, */*;q=-inf, ;;q=,,"},
    "an odd version": {"Accept": "application/vnd.openstack.images-v\xff"},
    "an odd expectation": {"Expect": "the worst"},
    "an odd request id": {"X-Openstack-Request-Id": "\xff" * 100},
    "an odd token": {"X-Auth-Token": "\xff" * 4000},
    "an odd encoding": {"Content-Encoding": "gzip, gzip"},
    "cookies": {"Cookie": "=;\xff==;;"},
    "the past": {"If-Modified-Since": "never", "If-None-Match": "\xff"},
}


async def test_odd_headers_are_no_ones_fault(client: Client) -> None:
    path = await client.upload(b"data")
    for name, headers in HEADERS.items():
        for method, target, body in [
            ("GET", f"{path}/file", b""),
            ("GET", "/v2/nowhere", b""),
            ("PATCH", path, b"[]"),
            ("PUT", f"{await client.create()}/file", b"data"),
            ("POST", "/v2/images", b"{}"),
        ]:
            usual = OCTETS if method == "PUT" else {"Content-Type": V21}
            status = await exchange(client, request_line(method, target, {**usual, **headers}, body))
            assert status is not None, (name, method, target)
            assert status < 500, (name, method, target, status)


CREATE = b"POST /v2/images HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
LIST = b"GET /v2/images HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

RAW: Mapping[str, bytes] = {
    "a long header": LIST + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": LIST + b"X: x\r\n" * 5000 + b"\r\n",
    "a long path": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long query": b"GET /v2/images?" + b"x=y&" * 1500 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a header with NUL": LIST + b"X: a\0b\r\n\r\n",
    "a header without a colon": LIST + b"nonsense\r\n\r\n",
    "a folded header": LIST + b"X: a\r\n b\r\n\r\n",
    "a bare line feed": b"GET /v2/images HTTP/1.1\nHost: x\n\n",
    "no host": b"POST /v2/images HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    "no host and HTTP/1.0": b"POST /v2/images HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
    "an odd host": b"GET / HTTP/1.1\r\nHost: a b<\xff>:x\r\nConnection: close\r\n\r\n",
    "two hosts": LIST + b"Host: y\r\n\r\n",
    "an absolute URL": b"GET http://elsewhere/v2/images HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an odd absolute URL": b"GET http://[x/v2/images HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an absolute URL with an odd port": b"GET http://x:99999999/v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an upgrade": LIST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a path of bytes": b"GET /v2/images/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a path of two dots": b"GET /v2/images/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a fragment": b"GET /v2/images#x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "HTTP/0.9": b"GET /v2/images\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "nothing but ends of lines": b"\r\n" * 100,
    "a length below zero": CREATE + b"Content-Length: -1\r\n\r\n{}",
    "a length that is none": CREATE + b"Content-Length: 0x2\r\n\r\n{}",
    "a length of many digits": CREATE + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "a length beyond all limits": CREATE + b"Content-Length: 99999999999999\r\n\r\n{}",
    "two lengths": CREATE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": CREATE + b"Content-Length: 2\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",
    "a body over its length": CREATE + b"Content-Length: 2\r\n\r\n{}" + b"x" * 100_000,
    "a body below its length": CREATE + b"Content-Length: 100\r\n\r\n{}",
    "chunks that are none": CREATE + CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk below zero": CREATE + CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond all limits": CREATE + CHUNKED + b"fffffffffffffffffff\r\n{}",
    "a chunk over its size": CREATE + CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "chunks without an end": CREATE + CHUNKED + b"2\r\n{}\r\n",
    "a long chunk extension": CREATE + CHUNKED + b"2;" + b"x" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
    "many trailers": CREATE + CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: x\r\n" * 5000 + b"\r\n",
    "encodings that are none": CREATE + b"Transfer-Encoding: nonsense, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "gzip that is none": CREATE + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "a body of many bytes": CREATE + b"Content-Length: 2000000\r\n\r\n" + b" " * 2_000_000,
    "chunks of many bytes": CREATE + CHUNKED + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 30 + b"0\r\n\r\n",
}


async def test_what_is_hardly_http_is_answered_or_hung_up_on(client: Client) -> None:
    """At once, as some are waited for."""
    statuses = await asyncio.gather(*(exchange(client, raw) for raw in RAW.values()))
    for name, status in zip(RAW, statuses, strict=True):
        assert status is None or status < 500, (name, status)
    assert (await client.ask("GET", "/v2/images")).status == 200


async def test_options_of_the_server_as_a_whole_are_answered(client: Client) -> None:
    assert await exchange(client, RAW["an asterisk"]) == 200


async def test_a_host_that_is_none_is_refused_and_one_that_is_not_named_is_ours(client: Client) -> None:
    """Answers name the host: what they name must be one."""
    for host, status in [
        ("a b", 400),
        ("\xff", 400),
        ("x/y", 400),
        ("[::1]:80", 300),
        ("glint.example", 300),
        ("", 300),
    ]:
        assert await exchange(client, request_line("GET", "/", {"Host": host})) == status, host


async def test_uploads_that_break_off_in_odd_ways_leave_the_image_queued(client: Client) -> None:
    async def upload(rest: bytes) -> None:
        path = await client.create()
        head = f"PUT {path}/file HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {OCTETS['Content-Type']}\r\n"
        status = await exchange(client, head.encode() + rest)
        assert status is None or 400 <= status < 500, rest
        await until_queued(client, path)

    rests = [
        b"Content-Length: 9\r\n\r\nx",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"9\r\nx",
        CHUNKED + b"1\r\nxy\r\n0\r\n\r\n",
    ]
    await asyncio.gather(*map(upload, rests))


async def until_queued(client: Client, path: str) -> None:
    async with asyncio.timeout(30):
        while (await client.show(path))["status"] != "queued":  # noqa: ASYNC110 - an upload cut off ends in its own time
            await asyncio.sleep(0.01)


def request_line(method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request as it is, without any library's help. Headers are Latin-1, or UTF-8 where that is too small."""
    sent = {
        "Host": "x",
        "Connection": "close",
        **({"Content-Length": str(len(body))} if body else {}),
        **(headers or {}),
    }
    lines = [f"{method} {target} HTTP/1.1".encode(), *(f"{name}: ".encode() + _bytes(sent[name]) for name in sent)]
    return b"\r\n".join([*lines, b"", body])


def _bytes(text: str) -> bytes:
    return text.encode("latin-1" if max(text, default="") <= "\xff" else "utf-8")


async def exchange(client: Client, raw: bytes) -> int | None:
    """The status of the answer, None for a connection that is closed without one."""
    address = urlsplit(client.served.url)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(raw)
            await writer.drain()
            line = await _line(reader, writer)
        except* ConnectionError:
            line = b""
        finally:
            writer.close()
    return int(line.split()[1]) if line else None


async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The first line of the answer. A server that waits for more learns after a while that no more will come."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(reader.readline())
        await asyncio.wait([reading], timeout=3)
        if not reading.done():
            writer.write_eof()
    return reading.result()
