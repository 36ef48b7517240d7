"""The key for secrets that is made where none is given: kept in the data folder, whole, and for its owner only."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, local

import pytest
import typer

from duly.cli.command_setup import require_secret_keys_beyond_loopback, secret_keys, webhook_secret
from duly.domain.sealing import new_key, parse_keys
from duly.settings import Settings


def settings(folder: Path, **given: str) -> Settings:
    return Settings.model_validate({"data_dir": folder, "secret_keys": None, "webhook_secret": None} | given)


def test_it_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    made = secret_keys(settings(folder))
    assert len(parse_keys(made)) == 1
    assert secret_keys(settings(folder)) == made
    [kept] = folder.iterdir()
    assert (kept.name, kept.read_text()) == ("secret-keys", made)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_key_that_is_given_comes_before_and_makes_no_file(tmp_path: Path) -> None:
    given = new_key()
    assert secret_keys(settings(tmp_path, secret_keys=given)) == given
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_start_at_once_all_get_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has looked for the file before any has made it."""
    read_text, all_have_looked, seen = Path.read_text, Barrier(8), local()

    def look(path: Path) -> str:
        if not hasattr(seen, "once"):
            seen.once = True
            all_have_looked.wait(60)
            raise FileNotFoundError
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", look)
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: secret_keys(settings(tmp_path)), range(8)))
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret-keys"]


def test_nobody_sees_half_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file has no name before all of it is written."""
    link = os.link
    texts: list[str] = []

    def linking(draft: str, path: Path) -> None:
        assert not path.exists()
        texts.append(Path(draft).read_text())
        link(draft, path)

    monkeypatch.setattr(os, "link", linking)
    assert [secret_keys(settings(tmp_path))] == texts


@pytest.mark.parametrize("text", ["", "half:AAAA", "no keys at all"])
def test_a_file_that_holds_no_keys_is_named_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    kept = tmp_path / "secret-keys"
    kept.write_text(text)
    with pytest.raises(typer.Exit) as caught:
        secret_keys(settings(tmp_path))
    [line] = capsys.readouterr().err.splitlines()
    assert caught.value.exit_code == 1
    assert f"{kept} does not contain secret keys" in line
    assert kept.read_text() == text


def test_a_key_that_cannot_be_kept_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checks the warning: secrets sealed with another key could not be opened. The signing secret lasts one run."""
    taken = tmp_path / "a-file"
    taken.touch()
    with pytest.raises(typer.Exit):
        secret_keys(settings(taken))
    assert "DULY_SECRET_KEYS" in capsys.readouterr().err
    assert webhook_secret(settings(taken)).startswith("whsec_")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "duly.internal"])
def test_beyond_loopback_the_keys_must_be_given(host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        require_secret_keys_beyond_loopback(settings(tmp_path, host=host))
    [line] = capsys.readouterr().err.splitlines()
    assert caught.value.exit_code == 1
    assert "DULY_SECRET_KEYS" in line
    assert "`duly secrets new-key`" in line
    require_secret_keys_beyond_loopback(settings(tmp_path, host=host, secret_keys=new_key()))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_on_loopback_they_need_not(host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require_secret_keys_beyond_loopback(settings(tmp_path, host=host))
    assert capsys.readouterr().err == ""
