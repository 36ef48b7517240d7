"""Share of the machine that the embedded server may use."""

from pathlib import Path

from duly.embedded.tuning import memory_limit


def test_the_memory_limit_is_the_smallest_of_machine_and_groups(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (tmp_path / "outer" / "memory.max").write_text(f"{64 << 20}\n")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/outer/inner\n")
    assert memory_limit(membership=membership, root=tmp_path) == 64 << 20
    membership.write_text("0::/elsewhere\n")
    assert memory_limit(membership=membership, root=tmp_path) > 64 << 20
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{32 << 20}\n")
    membership.write_text("4:cpu,memory:/not/visible/here\n0::/\n")
    assert memory_limit(membership=membership, root=tmp_path) == 32 << 20
