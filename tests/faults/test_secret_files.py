"""Commands whose secrets are in files."""

from pathlib import Path

import pytest

from tests.support.postgres_servers import Server
from tests.support.service_process import Processes

SECRET = "top-s3cret"


@pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
async def test_a_service_serves_with_secrets_from_files_and_names_a_missing_one(
    server: Server, database_url: str, processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "api-key").write_text(f"{SECRET}\n")
    (tmp_path / "database-url").write_text(database_url)
    named = {
        "DULY_API_KEY_FILE": str(tmp_path / "api-key"),
        "DULY_DATABASE_URL_FILE": str(tmp_path / "database-url"),
    }
    missing = processes.run("serve", **named | {"DULY_API_KEY_FILE": str(tmp_path / "no")})
    migrated = processes.run("migrate", **named)
    assert await migrated.ended() == 0, migrated.stderr
    assert migrated.stdout == "the database is up to date\n"
    assert await missing.ended() == 2
    assert "DULY_API_KEY (or its flag): cannot read the file of DULY_API_KEY_FILE: " in missing.stderr
    assert f"{tmp_path}/no: No such file or directory; create it, readable by user " in missing.stderr
