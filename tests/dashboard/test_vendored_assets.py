"""Files of published packages in the dashboard: exactly those that were recorded, with their licences."""

import json

from tests.vendored_assets import FILES, RECORD, VENDOR, digest_of, locked_versions


def test_every_file_is_the_one_that_was_taken_from_its_package() -> None:
    record = json.loads(RECORD.read_text())
    found = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    assert found == {*record, RECORD.name} == {*(each.name for each in FILES), RECORD.name}
    assert {name: digest_of(VENDOR / name) for name in found - {RECORD.name}} == {
        name: one["sha256"] for name, one in record.items()
    }
    assert {one["package"]: one["version"] for one in record.values()} == locked_versions()


def test_every_package_has_its_licence_beside_it() -> None:
    licensed = {each.package for each in FILES if "LICENSE" in each.file}
    assert licensed == {each.package for each in FILES}
    for each in FILES:
        if each.file in {"LICENSE", "NOTICE"}:
            assert len((VENDOR / each.name).read_text()) > 40, each.name
