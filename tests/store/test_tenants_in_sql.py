"""The check of `make check` finds statements over data of tenants that do not name the tenant."""

import pytest

from tests.check_sql_tenants import findings
from tests.support.sql_tables import tables_without_tenant


def test_every_statement_names_the_tenant_or_has_a_reason() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("select * from jobs where job_id = $1", {"jobs"}),
        ("select * from jobs where job_id = $1 and tenant_id = $2", set()),
        ("select tenant_id from jobs where job_id = $1", {"jobs"}),
        (
            "select from jobs where tenant_id = $1 and exists (select from events where job_id = $2)",
            {"events"},
        ),
        ("select * from jobs j join events e using (job_id) where j.tenant_id = $1", {"events"}),
        (
            "select from jobs j join events e on e.tenant_id = j.tenant_id where j.tenant_id = $1",
            set(),
        ),
        ("with jobs as (select 1) select * from jobs", set()),
        ("with found as (select * from jobs) select * from found where tenant_id = $1", {"jobs"}),
        ("update running set progress = 1 where job_id = $1", {"running"}),
        ("update running n set progress = 1 from jobs j where j.tenant_id = $1 and n.job_id = j.job_id", {"running"}),
        ("delete from ready where tenant_id = $1", set()),
        ("insert into ready (job_id) values ($1)", {"ready"}),
        ("insert into ready (tenant_id, job_id) select tenant_id, job_id from scheduled", {"scheduled"}),
    ],
)
def test_each_use_of_a_table_is_judged_by_itself(statement: str, found: set[str]) -> None:
    assert tables_without_tenant(statement) == found
