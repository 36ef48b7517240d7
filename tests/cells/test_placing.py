"""The cell of a submission follows from its ids, its queue and its keys."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duly.cells.placing import BatchPlacing, Places, place
from duly.domain.cells import cell_of, cell_of_key
from duly.errors import Invalid
from tests.support.cells import CELLS, key_in

PLACES = Places(1, CELLS)
KEYS = st.text(min_size=1, max_size=20)


def id_in(cell: int) -> UUID:
    """Returns an id of a cell."""
    return UUID(f"0199c1f0-0000-7000-8000-0000000000{cell:02x}")


def errors_of(refused: pytest.ExceptionInfo[Invalid]) -> list[dict[str, Any]]:
    errors: list[dict[str, Any]] = refused.value.details["errors"]
    return errors


def test_without_ids_and_keys_each_cell_will_do() -> None:
    assert place({"type": "sum", "parameters": {"uniqueKey": "no key of the job"}}, PLACES) is None


@pytest.mark.parametrize("cell", range(CELLS))
def test_the_id_that_the_client_made_decides(cell: int) -> None:
    assert place({"type": "sum"}, PLACES, key=key_in((cell + 1) % CELLS), own=id_in(cell)) == cell


@pytest.mark.parametrize("cell", range(CELLS))
def test_the_jobs_that_it_depends_on_decide(cell: int) -> None:
    depends_on = [str(id_in(cell)), str(id_in(cell + CELLS))]
    assert place({"type": "sum", "dependsOn": depends_on}, PLACES, key=key_in((cell + 1) % CELLS)) == cell


def test_a_dependency_on_jobs_of_two_cells_is_refused_naming_both() -> None:
    with pytest.raises(Invalid) as refused:
        place({"type": "sum", "dependsOn": [str(id_in(1)), str(id_in(5)), str(id_in(2))]}, PLACES)
    (error,) = errors_of(refused)
    assert error["path"] == "dependsOn[2]"
    assert "cell 2 of 4" in error["message"]
    assert "dependsOn[0] in cell 1" in error["message"]


def test_an_id_and_a_dependency_of_different_cells_are_refused() -> None:
    with pytest.raises(Invalid) as refused:
        place({"type": "sum", "dependsOn": [str(id_in(3))]}, PLACES, own=id_in(0))
    assert "jobId in cell 0" in errors_of(refused)[0]["message"]


@pytest.mark.parametrize("name", ["concurrencyKey", "uniqueKey"])
@pytest.mark.parametrize("tie", [{"own": id_in(1)}, {"dependsOn": [str(id_in(1))]}])
def test_an_id_and_a_key_of_different_cells_are_refused(name: str, tie: dict[str, Any]) -> None:
    own = tie.get("own")
    value = {"type": "sum", name: key_in(2)} | ({} if own else tie)
    with pytest.raises(Invalid) as refused:
        place(value, PLACES, own=own)
    (error,) = errors_of(refused)
    assert error["path"] == name
    assert "belongs to cell 2 of 4" in error["message"]
    assert "to cell 1" in error["message"]


@pytest.mark.parametrize("name", ["concurrencyKey", "uniqueKey"])
def test_an_id_and_a_key_of_the_same_cell_are_accepted(name: str) -> None:
    assert place({"type": "sum", name: key_in(2)}, PLACES, own=id_in(2)) == 2


def test_the_concurrency_key_precedes_the_unique_key_and_that_the_idempotency_key() -> None:
    concurrency, unique, idempotency = key_in(1), key_in(2), key_in(3)
    value = {"type": "sum", "concurrencyKey": concurrency, "uniqueKey": unique}
    assert place(value, PLACES, key=idempotency) == 1
    assert place({"type": "sum", "uniqueKey": unique}, PLACES, key=idempotency) == 2
    assert place({"type": "sum"}, PLACES, key=idempotency) == 3


def test_a_queue_kept_in_one_cell_precedes_keys_but_not_ids() -> None:
    queue = key_in(3)
    places = PLACES._replace(pinned=lambda _tenant, type_, name: queue if type_ == "sum" and name == queue else None)
    value = {"type": "sum", "queue": queue, "concurrencyKey": key_in(1)}
    assert place(value, places) == 3
    assert place({"type": "sum", "queue": "another", "concurrencyKey": key_in(1)}, places) == 1
    assert place({"type": "sum", "queue": queue}, places, own=id_in(0)) == 0


def test_in_a_queue_kept_in_one_cell_a_job_may_depend_on_jobs_of_that_cell_whatever_its_key() -> None:
    places = PLACES._replace(pinned=lambda _tenant, _type, name: name)
    value = {"type": "sum", "queue": key_in(3), "concurrencyKey": key_in(1)}
    assert place(value | {"dependsOn": [str(id_in(3))]}, places) == 3
    with pytest.raises(Invalid) as refused:
        place(value | {"dependsOn": [str(id_in(2))]}, places)
    assert errors_of(refused)[0]["path"] == "concurrencyKey"


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], "text", 7, {}),
        {"dependsOn": "text", "uniqueKey": 7, "concurrencyKey": None, "queue": [], "type": 3},
        {"dependsOn": ["no id", 3, None]},
    ],
)
def test_members_of_a_wrong_type_decide_nothing(value: object) -> None:
    places = PLACES._replace(pinned=lambda _tenant, _type, name: name)
    assert place(value, places) is None


def test_a_batch_goes_to_the_cell_that_its_first_tied_submission_needs() -> None:
    placing = BatchPlacing(PLACES, key=key_in(0))
    assert placing.cell == 0
    placing.add({"type": "sum"}, "jobs[0]")
    placing.add({"type": "sum", "uniqueKey": key_in(2)}, "jobs[1]")
    placing.add({"type": "sum", "dependsOn": [str(id_in(2))]}, "jobs[2]")
    placing.add(None, "then")
    assert placing.cell == 2


def test_a_batch_whose_jobs_need_different_cells_is_refused_with_the_remedy() -> None:
    placing = BatchPlacing(PLACES)
    placing.add({"type": "sum", "uniqueKey": key_in(2)}, "jobs[0]")
    with pytest.raises(Invalid) as refused:
        placing.add({"type": "sum", "concurrencyKey": key_in(1)}, "jobs[1]")
    (error,) = errors_of(refused)
    assert error["path"] == "concurrencyKey"
    assert "the jobs of one batch live in one cell" in error["message"]
    assert "jobs[0].uniqueKey to cell 2; submit them apart" in error["message"]


def test_a_batch_without_keys_goes_to_any_cell() -> None:
    placing = BatchPlacing(PLACES)
    placing.add({"type": "sum"}, "jobs[0]")
    assert placing.cell is None


members = st.fixed_dictionaries(
    {"type": st.just("sum")},
    optional={
        "concurrencyKey": KEYS,
        "uniqueKey": KEYS,
        "dependsOn": st.lists(st.uuids().map(str), max_size=3),
        "queue": st.sampled_from(["default", "other"]),
    },
)


@settings(max_examples=200, deadline=None)
@given(
    tenant_id=st.integers(1, 1 << 31),
    count=st.integers(2, 256),
    value=members,
    key=st.none() | KEYS,
    own=st.none() | st.uuids(),
)
def test_a_submission_is_always_in_the_cell_of_its_ids_and_of_its_deciding_key(
    tenant_id: int, count: int, value: dict[str, Any], key: str | None, own: UUID | None
) -> None:
    places = Places(tenant_id, count)
    ids = {cell_of(UUID(text), count) for text in value.get("dependsOn", ())}
    ids |= {cell_of(own, count)} if own is not None else set()
    named = value.get("concurrencyKey", value.get("uniqueKey"))
    keyed = {cell_of_key(tenant_id, named, count)} if named is not None else set()
    if len(ids | keyed) > 1:
        with pytest.raises(Invalid):
            place(value, places, key=key, own=own)
        return
    expected = next(iter(ids | keyed), cell_of_key(tenant_id, key, count) if key is not None else None)
    assert place(value, places, key=key, own=own) == expected
    assert place(dict(reversed(value.items())), places, key=key, own=own) == expected


@settings(max_examples=100, deadline=None)
@given(count=st.integers(2, 16), values=st.lists(members, min_size=1, max_size=6), key=st.none() | KEYS)
def test_an_accepted_batch_is_in_the_cell_of_each_of_its_submissions(
    count: int, values: list[dict[str, Any]], key: str | None
) -> None:
    places = Places(1, count)
    placing = BatchPlacing(places, key=key)
    try:
        for index, value in enumerate(values):
            placing.add(value, f"jobs[{index}]")
    except Invalid:
        return
    for value in values:
        assert place(value, places) in {None, placing.cell}
    if all(place(value, places) is None for value in values) and key is not None:
        assert placing.cell == places.of_key(key)
