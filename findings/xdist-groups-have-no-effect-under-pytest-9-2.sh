#!/usr/bin/env bash
# pytest-xdist 3.8.0 keeps tests with the mark xdist_group on one worker (--dist loadgroup) by writing the group's name
# behind the test's id, in the attribute _nodeid. pytest 9.2.0 has no such attribute any more: the name is lost without
# a warning, and tests of a group run on any worker, each of which makes their module's fixtures again.
# Seen: a fixture of a module made once with pytest 9.0.2, on each of two workers with 9.2.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/test_grouped.py" <<'PYTHON'
import pytest

pytestmark = pytest.mark.xdist_group("one worker")


@pytest.fixture(scope="module")
def costly(worker_id):
    with open("made", "a") as made:
        made.write(f"{worker_id}\n")


@pytest.mark.parametrize("number", range(8))
def test_each(costly, number):
    pass
PYTHON
made_with() {
    python3 -m venv "$folder/$1"
    "$folder/$1/bin/pip" install --quiet --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
    (cd "$folder" && rm -f made && "$folder/$1/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup >/dev/null)
    sort -u "$folder/made" | wc -l
}
before=$(made_with 9.0.2)
now=$(made_with 9.2.0)
echo "workers on which the fixture of a group was made: $before with pytest 9.0.2, $now with pytest 9.2.0"
test "$before" = 1 && test "$now" = 2
