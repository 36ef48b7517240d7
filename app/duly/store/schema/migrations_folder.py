"""Folder of the migrations. Imports nothing, so that the test plugin can look into it before it starts a server."""

from importlib.resources import files
from pathlib import Path


def migrations_folder() -> Path:
    """Returns `duly/migrations` of an installed wheel, or `migrations/` of a checkout."""
    package = Path(str(files("duly")))
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"
