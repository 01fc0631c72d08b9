"""Who gets in at the registry service: the rules, by a clock of their own."""

from collections.abc import Mapping

import pytest

from upstream.registry.wire import SIGNATURE, Gate, Headers, Line, Mistaken, Refused, Sealed
from upstream.registry.wire.signing import AUDIENCE, DIGEST, NUMBER, TIME, WINDOW_S, Lines

KEY, OLD = b"k" * 32, b"o" * 32
PATH, BODY = "/v1/images.get", b'{"image_id":"a"}'
IDENTITY = {"X-User-Id": "anna", "X-Roles": "member", "X-Tenant-Id": "-"}
NOW_S = 1_800_000_000.0
ME = "a" * 32


def signed(
    line: Line | None = None, *, key: bytes = KEY, at_s: float = NOW_S, audience: str = ME
) -> tuple[dict[str, str], Sealed]:
    line = line or Line("1" * 32)
    line.audience = audience
    headers, sealed = line.sign(key, PATH, BODY, IDENTITY, at_s)
    return dict(headers), sealed


def admitted(gate: Gate, headers: Mapping[str, str], *, path: str = PATH, now_s: float = NOW_S) -> Sealed:
    return gate.admit(path, Headers.read(tuple(headers.items())), now_s)


def refusal(gate: Gate, headers: Mapping[str, str], *, path: str = PATH, now_s: float = NOW_S) -> Refused:
    with pytest.raises(Refused) as refused:
        admitted(gate, headers, path=path, now_s=now_s)
    return refused.value


def test_who_has_the_key_gets_in_and_his_answer_is_for_him_alone() -> None:
    gate, line = Gate([KEY], ME), Line("1" * 32)
    headers, mine = signed(line)
    sealed = admitted(gate, headers)
    sealed.check_body(BODY)
    assert sealed.seal(200, b"answer") == mine.seal(200, b"answer")
    others = (mine.seal(400, b"answer"), mine.seal(200, b"other"), signed(line)[1].seal(200, b"answer"))
    assert sealed.seal(200, b"answer") not in others


@pytest.mark.parametrize("name", [AUDIENCE, TIME, NUMBER, DIGEST, *IDENTITY])
@pytest.mark.parametrize("change", ["other", "gone"])
def test_a_header_that_was_changed_on_the_way_breaks_the_signature(name: str, change: str) -> None:
    headers, _ = signed()
    if change == "gone":
        del headers[name]
    else:
        last = headers[name][-1]
        headers[name] = headers[name][:-1] + ("1" if last != "1" else "2")
    assert type(refusal(Gate([KEY], ME), headers)) is Refused


def test_a_header_that_was_added_on_the_way_breaks_the_signature() -> None:
    headers, _ = signed()
    assert refusal(Gate([KEY], ME), headers | {"X-Is-Admin": "true"}).reason == "signature"
    twice = [*headers.items(), ("x-user-id", "anna")]
    with pytest.raises(Refused, match="malformed"):
        Headers.read(twice)


def test_another_path_another_body_and_another_key_are_refused() -> None:
    headers, _ = signed()
    assert refusal(Gate([KEY], ME), headers, path="/v1/images.delete").reason == "signature"
    assert refusal(Gate([OLD], ME), headers).reason == "signature"
    with pytest.raises(Refused, match="body"):
        admitted(Gate([KEY], ME), headers).check_body(BODY + b" ")


@pytest.mark.parametrize("signature", ["", "x", "é", "0" * 64])
def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    headers, _ = signed()
    assert type(refusal(Gate([KEY], ME), headers | {SIGNATURE: signature})) is Refused
    del headers[SIGNATURE]
    assert refusal(Gate([KEY], ME), headers).reason == "unsigned"
    assert refusal(Gate([KEY], ME), {}).reason == "unsigned"


@pytest.mark.parametrize("key", [KEY, OLD])
def test_while_a_key_is_changed_both_are_taken(key: bytes) -> None:
    headers, mine = signed(key=key)
    assert admitted(Gate([KEY, OLD], ME), headers).seal(200, b"") == mine.seal(200, b"")


@pytest.mark.parametrize(("late_s", "is_in_time"), [(0, True), (60, True), (-60, True), (61, False), (-61, False)])
def test_a_request_is_taken_within_the_window_only(late_s: float, is_in_time: bool) -> None:
    headers, _ = signed(at_s=NOW_S - late_s)
    if is_in_time:
        assert admitted(Gate([KEY], ME), headers)
        return
    refused = refusal(Gate([KEY], ME), headers)
    assert isinstance(refused, Mistaken)
    assert refused.told == {"refused": "clock", "late_s": late_s, "window_s": WINDOW_S}


def test_a_request_that_was_seen_is_not_taken_again_here_or_elsewhere() -> None:
    gate, line = Gate([KEY], ME), Line("1" * 32)
    first, second = signed(line)[0], signed(line)[0]
    for headers in (first, second):
        admitted(gate, headers)
    for headers in (first, second):
        assert refusal(gate, headers).reason == "replayed"
    elsewhere = refusal(Gate([KEY], "b" * 32), first)
    assert isinstance(elsewhere, Mistaken)
    assert elsewhere.told == {"refused": "audience", "audience": "b" * 32}


def test_a_request_that_was_overtaken_is_not_taken_any_more() -> None:
    """Whoever sent it gave up on it before he sent the next one."""
    gate, line = Gate([KEY], ME), Line("1" * 32)
    first, second = signed(line)[0], signed(line)[0]
    admitted(gate, second)
    assert refusal(gate, first).reason == "replayed"


def test_lines_that_are_silent_are_forgotten_and_nothing_old_is_taken_for_it() -> None:
    lines = Lines(lines_max=1000)
    for number in range(100):
        assert lines.goes_on(f"{number}", 1, 5000, now_s=5)
    assert lines.goes_on("late", 1, 130_000, now_s=130)
    assert len(lines) == 1
    assert not lines.goes_on("7", 2, 4999, now_s=5)  # even if the clock is set back
    assert not lines.goes_on("7", 1, 5000, now_s=5)
    assert lines.goes_on("7", 2, 131_000, now_s=131)


def test_there_is_room_for_so_many_lines_and_the_oldest_goes() -> None:
    lines = Lines(lines_max=3)
    for number in range(50):
        assert lines.goes_on(f"{number}", 1, 1000 + number, now_s=1)
        assert len(lines) <= 3
    assert not lines.goes_on("0", 1, 1000, now_s=1)
