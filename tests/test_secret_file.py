"""Secrets in files: read once at start, and refused in one line that never contains them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from duly.secret_file import UnusableSecretFile, api_key_of_environment
from duly.settings import SECRETS, Settings, unknown_variables

SECRET = "top-s3cret"


def _named(monkeypatch: pytest.MonkeyPatch, path: Path, content: bytes, *, variable: str = "DULY_API_KEY") -> None:
    path.write_bytes(content)
    monkeypatch.setenv(f"{variable}_FILE", str(path))


@pytest.mark.parametrize("other", ["cells", "database_url"])
def test_every_secret_setting_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: str) -> None:
    assert set(SECRETS) == {name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)}
    names = set(SECRETS) - {other}
    values = {name: f"{name}-{SECRET}" for name in names} | {"secret_keys": "k1:" + "A" * 43 + "="}
    if "cells" in names:
        values["cells"] = f"postgresql://u:{SECRET}@a/d#one postgresql://u:{SECRET}@a/d#two"
    for name, value in values.items():
        _named(monkeypatch, tmp_path / name, f"{value}\n".encode(), variable=f"DULY_{name.upper()}")
    settings = Settings()
    assert {name: getattr(settings, name).get_secret_value() for name in names} == values
    assert SECRET not in repr(settings)
    assert unknown_variables() == []


def test_a_flag_precedes_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _named(monkeypatch, tmp_path / "url", b"postgresql://file/d", variable="DULY_DATABASE_URL")
    chosen = Settings(database_url="postgresql://flag/d").database_url
    assert chosen is not None
    assert chosen.get_secret_value() == "postgresql://flag/d"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b" \n", "is empty: .*write the value into it"),
        (SECRET.encode() + b"\xff", "is not UTF-8 text"),
        (SECRET.encode() + b"\0", "contains a null byte"),
        (SECRET.encode() * 10_000, "is larger than 64 KiB: .*name another file"),
    ],
)
def test_a_file_without_a_secret_is_refused_without_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, words: str
) -> None:
    _named(monkeypatch, tmp_path / "key", content)
    with pytest.raises(ValidationError, match=words) as refused:
        Settings()
    assert refused.value.errors()[0]["loc"] == ("api_key",)
    assert SECRET not in str(refused.value)
    with pytest.raises(UnusableSecretFile, match=f"DULY_API_KEY: .*{words}"):
        api_key_of_environment()


def test_a_variable_beside_its_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _named(monkeypatch, tmp_path / "key", b"one")
    monkeypatch.setenv("DULY_API_KEY", SECRET)
    with pytest.raises(ValidationError, match=r"is set, and DULY_API_KEY_FILE .* too; unset one of them") as refused:
        Settings()
    assert SECRET not in str(refused.value)
