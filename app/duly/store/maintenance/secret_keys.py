"""The table `secret_keys`: which keys have sealed what lies in this database, and a proof of each."""

from collections.abc import Collection

from duly.store.postgres.database import Connection

RECORD = "insert into secret_keys (key_id, proof) values ($1, $2) on conflict do nothing"


async def record_key(connection: Connection, key_id: str, proof: str) -> None:
    """Notes that this key seals from now on. The first proof of an id stands."""
    await connection.execute(RECORD, key_id, proof)


READ = "select key_id, proof from secret_keys order by created_at, key_id"


async def read_proofs(connection: Connection) -> dict[str, str]:
    """The proof of each key, by its id, oldest first."""
    return {row[0]: row[1] for row in await connection.fetch(READ)}


FORGET = "delete from secret_keys where key_id = any($1::text[])"


async def forget_keys(connection: Connection, key_ids: Collection[str]) -> None:
    """Takes keys off the record that nothing is sealed with any more."""
    await connection.execute(FORGET, list(key_ids))
