"""Poison as records of a foreign producer, who may write into the topic whatever he likes."""

from collections import Counter
from typing import Any

from clickhouse_connect.driver.client import Client

from libs.events.codec import InvalidLine, decode_line, join_lines
from libs.events.record_index import HEADER, entry_of, index_of
from tests.e2e.lines import line
from tests.e2e.poison import LATE, Poison, Written, long, named

REFUSED = "refused-by-clickhouse"


def refuse_one(database: Client) -> None:
    """Let the table refuse events of one id while it reads them, as it refuses what is no value."""
    database.command(f"ALTER TABLE events ADD COLUMN trap UInt8 DEFAULT throwIf(id = '{REFUSED}')")


def _records(*lines: bytes | None) -> list[Written]:
    return [Written(one) for one in lines]


def _no_records(_: str) -> Poison:
    """Records in which nothing stands."""
    return Poison(
        0, records=_records(None, b"", b"\n\n", b" \t\r\n" * 9), letters={"empty_record": 4}
    )


def _no_json(project: str) -> Poison:
    """Bytes that are no JSON or no object, alone and between good lines."""
    good = [line(project, f"g-{at}") for at in range(3)]
    bad = [b"\xff\xfe\x00", good[0][:-1], good[0].replace(b"user", b"us\xffer"), b"{\xed\xa0\x80}"]
    other = [b"[" * 100_000, b"{}}", b"null", b"[" + good[0] + b"]"]
    value = join_lines([good[0], *bad, b"", good[1], b"  ", *other, good[2]])
    letters = {"not_json": 2 * len(bad), "invalid_event": 2 * len(other)}
    return Poison(3, records=_records(value, *bad, *other), letters=letters)


def _only_clickhouse_reads_it(project: str) -> Poison:
    """What ClickHouse would take for an event, and we do not."""
    changes: list[dict[str, Any]] = [
        {"is_live": 1}, {"is_live": "true"}, {"occurred_at": "2026-11-01 10:00:00"},
        {"occurred_at": 1_790_000_000}, {"type": "session.ended", "duration_ms": "5"},
        {"type": "session.ended", "duration_ms": 4_294_967_296}, {"role": None},
        {"project_id": "x" * 65}, {"session_id": "s" * 129}, {"conversation_id": ""},
    ]  # fmt: skip
    lines = [line(project, f"c-{at}", **change) for at, change in enumerate(changes)]
    return Poison(0, records=_records(*lines), letters={"invalid_event": len(changes)})


def _only_python_reads_it(project: str) -> Poison:
    """Instants beyond ClickHouse's time, where nothing checks them; a column's name as a field."""
    ends = (
        *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1899-12-31T23:59:59Z"),
        *("2300-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59"),
    )
    lines = [line(project, f"i-{at}", accepted_at=text) for at, text in enumerate(ends)]
    columns = {"kp": -1, "ko": "x", "lease": [], "date": {}, "counts": 7, "first_of_day": "?"}
    lines += [line(project, f"k-{name}", **{name: value}) for name, value in columns.items()]
    return Poison(len(lines), records=_records(*lines))


def _occurred_far_away(project: str) -> Poison:
    """Instants at the ends of both times, where they decide whether an event counts."""
    ends = ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z",
            "2106-02-07T06:28:16Z", "9999-12-31T23:59:59-23:59")  # fmt: skip
    lines = [line(project, f"o-{at}", occurred_at=text) for at, text in enumerate(ends)]
    return Poison(0, records=_records(*lines), letters={"occurred_at_out_of_range": len(ends)})


def _vouched(value: bytes) -> Written:
    """With an index that says of each line that it is an event of its own."""
    entries = []
    for number, one in enumerate(value.split(b"\n")):
        event = decode_line(number, one)
        if isinstance(event, InvalidLine):
            event = decode_line(0, line("lies", f"lie-{number}-{len(value)}"))
        assert not isinstance(event, InvalidLine)
        entries.append(entry_of(event))
    return Written(value, [(HEADER, index_of(value, entries))])


def _index_vouches(project: str) -> Poison:
    """Indexes that vouch for what ClickHouse cannot read."""
    good = line(project, "good")
    open_ = line(project, "columns")[:-1]
    bad = {
        b"{oops": "not_json",
        b'{"type":"chat.message","duration_ms":1e400}': "invalid_event",
        b'{"type":"chat.message","id":"a","id":"b"}': "invalid_event",
        line(project, "x", accepted_at="yesterday"): "invalid_event",
    }
    records = [_vouched(join_lines([good.replace(b'"good"', b'"good-%d"' % at), one]))
               for at, one in enumerate(bad)]  # fmt: skip
    records.append(_vouched(open_ + b', "kp": 70000, "lease": "never"}'))
    return Poison(len(bad) + 1, records=records, letters=Counter(bad.values()))


def _index_lies(project: str) -> Poison:
    """Indexes of another version, length or value, and headers that nobody has asked for."""
    values = [join_lines([line(project, f"l-{at}-{n}") for n in range(3)]) for at in range(7)]
    right = [_vouched(value).headers[0][1] for value in values]
    headers: list[tuple[str, bytes]] = [
        (HEADER, b""),
        (HEADER, right[1][:-1]),
        (HEADER, right[2] + bytes(32)),
        (HEADER, right[0]),
        (HEADER, b"\xff" * 8 + right[4][8:]),
        ("ragtime-index-99", right[5]),
        ("traceparent", b"\xff\0" * 50_000),
    ]
    records = [Written(value, [one]) for value, one in zip(values, headers, strict=True)]
    return Poison(21, records=records)


def _refused_by_clickhouse(project: str) -> Poison:
    """Events that only ClickHouse refuses, whatever is tried: see `refuse_one`."""
    lines = [line(project, name) for name in ("a", REFUSED, REFUSED, "b")]
    records = _records(join_lines(lines), lines[1])
    return Poison(2, records=records, letters={"refused_by_clickhouse": 3})


def _large_records(project: str) -> Poison:
    """Records as large as the broker takes: of one line, of thousands, good and bad."""
    padding = "p" * 1_045_000
    many = [line(project, f"m-{at}") for at in range(4_000)]
    return Poison(
        4_002,
        records=[
            Written(line(project, "padded", padding=padding)),
            _vouched(line(project, "vouched", padding=padding)),
            Written(join_lines(many)),
            Written(line(project, "long", session_id=padding)),
            Written(b"\0" * 1_048_000),
            Written(b"\n" * 1_048_000),
        ],
        letters={"invalid_event": 1, "not_json": 1, "empty_record": 1},
    )


def _many_projects(_: str) -> Poison:
    """A batch of late events of 1,500 projects whose names are as long as they may be."""
    lines = [line(long(f"p{at}."), long("i"), occurred_at=LATE) for at in range(1_500)]
    parts = [join_lines(lines[at : at + 300]) for at in range(0, 1_500, 300)]
    return Poison(0, records=_records(*parts, *parts))


AS_RECORDS = named(
    _no_records,
    _no_json,
    _only_clickhouse_reads_it,
    _only_python_reads_it,
    _occurred_far_away,
    _index_vouches,
    _index_lies,
    _refused_by_clickhouse,
    _large_records,
    _many_projects,
)
