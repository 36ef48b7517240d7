"""The table `duly_outbox` in the databases that the relay reads, and its differences between them."""

from typing import NamedTuple


class Dialect(NamedTuple):
    """SQL of one kind of database.

    Attributes:
        ddl: statements that create the table.
        now: seconds since 1970 by the database's clock.
        claim: statement that claims the oldest `:limit` rows under a `:claim` until `:seconds` from now.
        any_bytes: columns of text can have any bytes.
    """

    ddl: str
    now: str
    claim: str
    any_bytes: bool = False


_POSTGRESQL = """\
create table duly_outbox (
    id text primary key default gen_random_uuid()::text,
    type text not null,
    parameters text not null default '{}',
    options text not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    claim text,
    claimed_until double precision not null default 0,
    in_doubt_since double precision,
    submitted_at timestamptz,
    job_id text,
    error text
);
create index duly_outbox_waiting on duly_outbox (created_at, id) where submitted_at is null and error is null;
create index duly_outbox_claim on duly_outbox (claim) where claim is not null;
"""
_MYSQL = """\
create table duly_outbox (
    id varchar(64) character set ascii not null default (uuid()) primary key,
    type varchar(255) not null,
    parameters mediumtext not null default ('{}'),
    options text not null default ('{}'),
    created_at datetime(6) not null default current_timestamp(6),
    claim varchar(64) character set ascii,
    claimed_until double not null default 0,
    in_doubt_since double,
    submitted_at datetime(6),
    job_id varchar(64) character set ascii,
    error text,
    index duly_outbox_waiting (submitted_at, created_at, id),
    index duly_outbox_claim (claim)
);
"""
_SQLITE = """\
create table duly_outbox (
    id text primary key not null default (lower(hex(randomblob(16)))) check (typeof(id) = 'text'),
    type text not null,
    parameters text not null default '{}',
    options text not null default '{}',
    created_at text not null default (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    claim text,
    claimed_until real not null default 0,
    in_doubt_since real,
    submitted_at text,
    job_id text,
    error text
);
create index duly_outbox_waiting on duly_outbox (created_at, id) where submitted_at is null and error is null;
create index duly_outbox_claim on duly_outbox (claim) where claim is not null;
"""
_WAITING = "submitted_at is null and error is null and claimed_until < {now}"
# From its claim until the answer of the service, it is not known whether a row is submitted.
_SET = "claim = :claim, in_doubt_since = coalesce(in_doubt_since, {now}), claimed_until = {now} + :seconds"
_CLAIM_SUBSELECT = """
update duly_outbox set {set}
where id in (
    select id from duly_outbox where {waiting} order by created_at, id limit :limit {lock}
)
"""
# MySQL has no LIMIT in such a sub-select.
_CLAIM_ORDERED = """
update duly_outbox set {set}
where {waiting} order by created_at, id limit :limit
"""


def _dialect(ddl: str, now: str, claim: str, *, lock: str = "") -> Dialect:
    statement = claim.format(set=_SET.format(now=now), waiting=_WAITING.format(now=now), lock=lock)
    return Dialect(ddl, now, statement)


_OF_MYSQL = _dialect(_MYSQL, "unix_timestamp(now(6))", _CLAIM_ORDERED)
DIALECTS = {
    "postgresql": _dialect(
        _POSTGRESQL,
        "extract(epoch from clock_timestamp())",
        _CLAIM_SUBSELECT,
        lock="for update skip locked",
    ),
    "mysql": _OF_MYSQL,
    "mariadb": _OF_MYSQL,
    "sqlite": _dialect(_SQLITE, "(julianday('now') - 2440587.5) * 86400.0", _CLAIM_SUBSELECT)._replace(any_bytes=True),
}
