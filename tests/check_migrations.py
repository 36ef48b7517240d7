"""Whether the migrations make what `duly.store.tables` declares; run by `make check`."""

import asyncio
import sys

from duly.store.database import Database
from duly.store.migrations import differences, migrate
from tests.support.postgres import embedded_18


async def main() -> int:
    with embedded_18() as server:
        database = Database(server.url_of("duly"))
        await migrate(database)
        found = await differences(database)
        await database.close()
    for difference in found:
        print("migrations and metadata differ:", difference)  # noqa: T201  # the answer of a check
    print("migrations match the metadata" if not found else f"{len(found)} differences")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
