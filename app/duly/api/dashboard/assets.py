"""Files of the dashboard and of `/docs`, from memory.

Their URLs contain the digest of all files, so browsers keep them for a year and never mix two releases.
"""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
PREFIX: Final = "/ui/assets"
# Files that browsers load, and their types. Licences and the record of the packages are not served.
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_LEAST_GZIPPED: Final = 1024


class Asset:
    """File that browsers load."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self.content = content
        self.media_type = media_type
        self.digest = hashlib.sha256(content).hexdigest()[:32]

    @cached_property
    def gzipped(self) -> bytes | None:
        """Returns the content as gzip; None if that is not worth it."""
        if len(self.content) < _LEAST_GZIPPED or self.media_type == "image/png":
            return None
        return gzip.compress(self.content, compresslevel=9, mtime=0)


class Assets:
    """All files below a folder, by their path in it."""

    def __init__(self, folder: Path) -> None:
        self.files: Mapping[str, Asset] = {
            PurePosixPath(path.relative_to(folder)).as_posix(): Asset(path.read_bytes(), _TYPES[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES
        }
        digests = "".join(f"{name} {asset.digest}\n" for name, asset in self.files.items())
        self.digest = hashlib.sha256(digests.encode()).hexdigest()[:16]

    def url(self, name: str, *, root: str) -> str:
        """Returns the URL of a file. `root` is the path prefix of the request."""
        return f"{root}{PREFIX}/{self.digest}/{name}"


@cache
def dashboard_assets() -> Assets:
    """Returns the files of the dashboard. They are read once."""
    return Assets(STATIC)
