"""The documents: licences of the packages that are installed here."""

import hashlib
import re
from importlib.metadata import PackageNotFoundError, distribution

from pydantic import BaseModel

from duly import Fail

_LICENCE = re.compile(r"(licen[cs]e|copying)[^/]*$", re.IGNORECASE)
_CODE = (".py", ".pyc")


class Document(BaseModel):
    """Licence of a version of a package. `digest` is the SHA-256 of its text."""

    package: str
    version: str
    licence: str
    digest: str


def read_document(package: str) -> tuple[Document, str]:
    """Returns the licence of an installed package, and its text.

    Raises:
        Fail: the package is not installed, or has no licence file. Another attempt would not change that.
    """
    try:
        found = distribution(package)
    except PackageNotFoundError as error:
        raise Fail(f"The package {package} is not installed.", code="NO_DOCUMENT") from error
    files = [file for file in found.files or [] if _LICENCE.search(str(file)) and file.suffix not in _CODE]
    if not files:
        raise Fail(f"The package {package} {found.version} has no licence file.", code="NO_DOCUMENT")
    text = "\n\n".join(file.read_text(encoding="utf-8") for file in files)
    named = found.metadata.get_all("License-Expression") or found.metadata.get_all("License") or ["see text"]
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Document(package=package, version=found.version, licence=named[0].splitlines()[0], digest=digest), text
