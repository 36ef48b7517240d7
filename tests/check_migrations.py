"""Checks that the migrations make what `duly.store.schema.tables` declares, and only expand; run by `make check`."""

import asyncio
import sys

from duly.store.postgres.database import Database
from duly.store.schema.migrations import differences, migrate
from duly.store.schema.revisions import known_revisions
from tests.support.expand_only import contractions, read_schema
from tests.support.postgres_servers import embedded_18

# The first release that a newer one may be rolled out over.
FIRST = "0004"
# Migrations that take something away, each with the reason. Each puts its revision into `contractions`.
CONTRACTING: dict[str, str] = {}
# New constraints that the release before observes too, each with the reason.
OBSERVED = {
    ("0010", "jobs has a new constraint jobs_id"): "a release before creates no second tenant that could repeat an id",
}


async def main() -> int:
    with embedded_18() as server:
        database = Database(server.url_of("duly"))
        found = [f"revision {revision}: {words}" for revision, words in await _contractions(database)]
        found += [f"migrations and metadata differ: {difference}" for difference in await differences(database)]
        await database.close()
    for each in found:
        print(each)  # noqa: T201  # the answer of a check
    print("migrations match the metadata, and only expand" if not found else f"{len(found)} findings")  # noqa: T201
    return 1 if found else 0


async def _contractions(database: Database) -> list[tuple[str, str]]:
    """Returns what each migration takes away from the release before it. Leaves the database at the newest revision."""
    await migrate(database, to=FIRST)
    found = []
    async with database.connection() as connection:
        before = await read_schema(connection)
        for revision in known_revisions()[known_revisions().index(FIRST) + 1 :]:
            await migrate(database, to=revision)
            after = await read_schema(connection)
            if revision not in CONTRACTING:
                found += [(revision, words) for words in contractions(before, after) if not _observed(revision, words)]
            before = after
    return found


def _observed(revision: str, words: str) -> bool:
    return any(revision == of and words.startswith(start) for of, start in OBSERVED)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
