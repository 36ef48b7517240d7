"""Secrets in files: `DULY_API_KEY_FILE=/run/secrets/api-key` instead of `DULY_API_KEY`.

Files are how Kubernetes, systemd (`LoadCredential=`) and Docker hand over secrets: unlike the environment, they are not
inherited by child processes, and not shown by `docker inspect` or `systemctl show`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

# A key or a URL; a larger file is the wrong one, such as a log.
_MOST_BYTES = 64 << 10


class UnusableSecretFile(ValueError):
    """The file of a secret cannot be used. The message names the file, and never its content."""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """File with the value of one variable, such as `DULY_API_KEY`."""

    variable: str
    path: str

    def read(self) -> str:
        """Returns the content without the white space around it, such as the line end of `echo`.

        Raises:
            UnusableSecretFile: the variable itself is set too, or the file is unreadable, empty or not text.
        """
        named = f"the file of {self.variable}_FILE"
        if os.environ.get(self.variable):
            raise UnusableSecretFile(f"is set, and {self.variable}_FILE ({self.path}) too; unset one of them")
        try:
            with Path(self.path).open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            text = content.decode().strip()
        except OSError as error:
            raise UnusableSecretFile(
                f"cannot read {named}: {self.path}: {error.strerror}; "
                f"create it, readable by user {os.geteuid()}, or unset {self.variable}_FILE"
            ) from None
        except UnicodeDecodeError:
            raise UnusableSecretFile(f"{named} is not UTF-8 text: {self.path}; write the value as text") from None
        if len(content) > _MOST_BYTES:
            raise UnusableSecretFile(f"{named} is larger than {_MOST_BYTES >> 10} KiB: {self.path}; name another file")
        if not text or "\0" in text:
            raise UnusableSecretFile(
                f"{named} {'contains a null byte' if text else 'is empty'}: {self.path}; write the value into it"
            )
        return text


def secret_file(variable: str) -> SecretFile | None:
    """Returns the file that the environment names for this variable."""
    path = os.environ.get(f"{variable}_FILE")
    return SecretFile(variable, path) if path else None


def api_key_of_environment() -> str | None:
    """Returns the API key for commands that call a service: DULY_API_KEY, or the content of DULY_API_KEY_FILE.

    Raises:
        UnusableSecretFile: the file cannot be used.
    """
    file = secret_file("DULY_API_KEY")
    if file is None:
        return os.environ.get("DULY_API_KEY")
    try:
        return file.read()
    except UnusableSecretFile as error:
        raise UnusableSecretFile(f"DULY_API_KEY: {error}") from None
