"""Types of the TypeScript client, `clients/typescript/src/schema.ts`, from the OpenAPI document.

python -m tests.typescript_types   rewrites the file, with Node.js and npm; a test compares it with the document
"""

import json
import subprocess
from pathlib import Path
from typing import Final

from duly.api.openapi import document_of
from tests.support.forked_commands import ROOT
from tests.support.shared_routes import shared_routes

PACKAGE: Final = ROOT / "clients" / "typescript"
TYPES: Final = PACKAGE / "src" / "schema.ts"


def generated_types(package: Path) -> str:
    """Returns the types, made by the generator of a package whose development packages are installed."""
    done = subprocess.run(
        ["node", "scripts/generate.mjs"],
        cwd=package,
        input=json.dumps(document_of(shared_routes(serving=True))),
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.stdout


if __name__ == "__main__":
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=PACKAGE, check=True, timeout=300)
    TYPES.write_text(generated_types(PACKAGE))
