"""The arithmetic of many cells, by examples that can be done by hand."""

from benchmarks.many_cells import IDLE_CONNECTIONS, Layout, layouts, load_of, positions_of, table


def test_workers_of_some_cells_are_connected_to_those_only() -> None:
    layout = Layout("", serving=20, working=180, cells_of_worker=8)
    assert layout.processes_of_cell(64) == 20 + 180 * 8 / 64
    assert load_of(layout, 64).connections_of_cell == (20 + 22.5) * IDLE_CONNECTIONS
    assert layout.processes_of_cell(4) == 200


def test_each_layout_has_all_nodes_and_a_row() -> None:
    assert {layout.serving + layout.working for layout in layouts(200)} == {200}
    assert len(table(64, 200).splitlines()) == 2 + len(layouts(200))


def test_positions_of_64_cells_fit_the_header_of_a_request() -> None:
    idle, busy, _ = positions_of(64, rounds=1)
    assert idle < busy < 16_384
