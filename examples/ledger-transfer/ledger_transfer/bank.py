"""A bank: accounts and transfers in a database of its own, which no transaction shares with the other bank.

Each operation may be repeated and may be late. A transfer is posted at most once, and never after it was voided:
voiding an unknown transfer leaves a tombstone, on which a posting that comes later fails.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from duly import Fail

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[Any] | PoolConnectionProxy[Any]

_CREATE = """
create table accounts (account text primary key, opening bigint not null, balance bigint not null check (balance >= 0));
create table transfers (
    transfer uuid primary key,
    account text references accounts,
    cents bigint not null,
    state text not null check (state in ('posted', 'voided'))
);
"""
_OPEN = (
    "insert into accounts (account, opening, balance) select a, b, b from unnest($1::text[], $2::bigint[]) as t (a, b)"
)
# Balance and transfer change together or not at all. If two posts of one transfer meet, the second fails on the key.
_POST = """
with moved as (
    update accounts set balance = balance + $3
    where account = $2 and balance + $3 >= 0 and not exists (select from transfers where transfer = $1)
    returning account
)
insert into transfers (transfer, account, cents, state) select $1, account, $3, 'posted' from moved returning transfer
"""
_STATE = "select state from transfers where transfer = $1"
_HAS_ACCOUNT = "select exists (select from accounts where account = $1)"
_LEAVE_TOMBSTONE = """
insert into transfers (transfer, cents, state) values ($1, 0, 'voided') on conflict (transfer) do nothing
returning transfer
"""
# The account is locked before the transfer, as in a post: in another order, both could wait for each other.
_VOID = """
with locked as materialized (
    select a.account from transfers t join accounts a on a.account = t.account where t.transfer = $1 for update of a
),
voided as (
    update transfers set state = 'voided'
    where transfer = $1 and state = 'posted' and exists (select from locked)
    returning account, cents
)
update accounts set balance = balance - cents from voided where accounts.account = voided.account
"""


async def create(connection: "Connection", balances: Mapping[str, int]) -> None:
    """Creates the tables, with accounts and their opening balances in cents."""
    await connection.execute(_CREATE)
    await connection.execute(_OPEN, list(balances), list(balances.values()))


async def post(connection: "Connection", transfer: UUID, account: str, cents: int) -> None:
    """Adds cents to the balance, or takes them if negative. Does nothing if the transfer is posted already.

    Raises:
        Fail: the account does not exist, has too little, or the transfer was voided; trying again is of no use.
    """
    try:
        if await connection.fetchval(_POST, transfer, account, cents) is not None:
            return
    except asyncpg.UniqueViolationError:
        pass
    state = await connection.fetchval(_STATE, transfer)
    if state == "voided":
        raise Fail(f"Transfer {transfer} was voided.", code="VOIDED")
    if state is None:
        await _refuse(connection, account, cents)


async def _refuse(connection: "Connection", account: str, cents: int) -> None:
    if not await connection.fetchval(_HAS_ACCOUNT, account):
        raise Fail(f'Account "{account}" does not exist.', code="NO_ACCOUNT")
    raise Fail(f'Account "{account}" has less than {-cents} cents.', code="INSUFFICIENT_FUNDS")


async def void(connection: "Connection", transfer: UUID) -> None:
    """Undoes the transfer if it was posted, and prevents that it is posted later."""
    if await connection.fetchval(_LEAVE_TOMBSTONE, transfer) is None:
        await connection.execute(_VOID, transfer)
