"""A whole service on a machine whose clock is an hour ahead or behind, as libfaketime shows it one."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest

from duly.domain.ids import made_at
from tests.support.service_process import Processes

pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)

SLOW_SECONDS = 60  # a slow machine may take this long between two readings of clocks


@pytest.mark.skipif(LIBRARY is None, reason="there is no libfaketime: apt-get install faketime")
async def test_ids_of_services_with_clocks_an_hour_apart_tell_the_time_of_the_database(
    database_url: str, processes: Processes
) -> None:
    api = {"DULY_DATABASE_URL": database_url, "DULY_ROLES": "api"}
    services = [
        await processes.ready(
            processes.run_afresh("serve", "--port", "0", **api, LD_PRELOAD=str(LIBRARY), FAKETIME=hours), database_url
        )
        for hours in ("+1h", "-1h")
    ]
    job_ids = [(await service.submit("echo"))["jobId"] for _ in range(3) for service in services]
    for service, offset in zip(services, (3600, -3600), strict=True):
        items = (await service.client.get("/api/v1/jobs")).json()["items"]
        assert sorted(item["jobId"] for item in items) == sorted(job_ids)
        for item in items:
            created = datetime.fromisoformat(item["createdAt"])
            assert abs((made_at(UUID(item["jobId"])) - created).total_seconds()) < SLOW_SECONDS
        assert (await service.metrics())["duly_clock_offset_seconds"] == pytest.approx(offset, abs=SLOW_SECONDS)
        assert '"clock_differs"' in service.command.stderr
