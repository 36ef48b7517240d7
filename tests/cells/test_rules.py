"""Each route has a rule that says which cell serves it."""

from itertools import product
from uuid import UUID

import pytest

from duly.api.server.access_lines import routes_in
from duly.api.server.allowed_methods import AddressTable
from duly.api.server.route_scopes import ROUTE_SCOPES
from duly.cells.rules import RULES, Rule, cell_in_path, cell_of_signed
from duly.domain.ids import new_job_id
from duly.domain.lease_id import Lease, write_lease_id
from duly.domain.signal_link import SignalLink, write_link_token
from tests.support.service import KEYRING
from tests.support.shared_routes import shared_routes

CELLS = 4
ID = "0199c1f0-5b1e-7a42-9c53-5e0b6d3f8a11"
BY_PATH = {Rule.BY_ID, Rule.BY_LEASE, Rule.BY_LINK}


def test_each_route_has_a_rule_and_each_rule_a_route() -> None:
    addresses = AddressTable(routes_in([shared_routes(serving=True).router]))
    served = {
        (method, addresses.pattern_of(route.path))
        for route in routes_in([shared_routes(serving=True).router])
        for method in route.methods or ()
        if method != "HEAD"
    }
    served.add(("GET", "/openapi.json"))
    assert {(method, path) for method, path in served if path is not None} | {("GET", "/ws/jobs")} == set(RULES)
    assert set(RULES) == set(ROUTE_SCOPES)


@pytest.mark.parametrize(("method", "path"), [route for route, rule in RULES.items() if rule is Rule.BY_ID])
def test_the_path_of_a_route_by_id_names_its_cell(method: str, path: str) -> None:
    del method
    for last in range(256):
        id_ = UUID(int=new_job_id().int >> 8 << 8 | last)
        names = {"jobId", "batchId", "deliveryId", "replayId"}
        filled = path
        for name in names:
            filled = filled.replace(f"{{{name}}}", str(id_))
        for spelled in (filled, filled.replace(str(id_), str(id_).upper())):
            path_ = spelled.format(name="a", webhookId=new_job_id())
            assert cell_in_path(path_, CELLS) == last % CELLS, path_


def test_leases_and_links_name_the_cell_of_their_job() -> None:
    for last, type_ in product(range(8), ("sum", "a-longer-name")):
        id_ = UUID(int=new_job_id().int >> 8 << 8 | last)
        lease_id = write_lease_id(Lease(7, id_, 1 << 30, 1, 5, type_), KEYRING)
        token = write_link_token(SignalLink(7, id_, "approval", 2_000_000_000), KEYRING)
        assert cell_in_path(f"/api/v1/leases/{lease_id}/steps/a", CELLS) == last % CELLS
        assert cell_in_path(f"/signals/{token}", CELLS) == last % CELLS
        assert cell_of_signed(lease_id, CELLS) == last % CELLS


@pytest.mark.parametrize(
    "path",
    [route[1] for route, rule in RULES.items() if rule not in BY_PATH]
    + [
        *("/api/v1/jobs/batch", "/api/v1/jobs/no-id", "/api/v1/leases/heartbeat", "/signals/x", "/", ""),
        f"/api/v1/webhooks/{ID}",
        f"/api/v1/schedules/{ID}",
        f"/api/v1/jobs/{ID}x",
    ],
)
def test_other_paths_name_no_cell(path: str) -> None:
    assert cell_in_path(path, CELLS) is None
