import pytest

from duly.domain.counted_noun import counted_noun


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 batches"), (1, "1 batch"), (2, "2 batches"), (12_345, "12,345 batches")]
)
def test_a_count_has_its_noun_in_the_right_number(count: int, said: str) -> None:
    assert counted_noun(count, "batch", "batches") == said


def test_a_plural_ends_in_s_unless_it_is_given() -> None:
    assert counted_noun(2, "job") == "2 jobs"
