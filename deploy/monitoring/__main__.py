"""Writes the generated files of monitoring: `python -m deploy.monitoring [--docs-url URL]`.

A test compares them. `--docs-url` makes the runbook links of the alert rules URLs below it, for your own copy.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from deploy.monitoring.dashboard import dashboard
from deploy.monitoring.pages import metrics_page, runbook_index
from deploy.monitoring.rules import rules, rules_test

ROOT = Path(__file__).parents[2]


def files(docs_url: str | None = None) -> Mapping[Path, str]:
    """Returns the text of each generated file."""
    return {
        ROOT / "deploy" / "prometheus" / "alerts.yaml": rules(docs_url),
        ROOT / "deploy" / "prometheus" / "alerts_test.yaml": rules_test(),
        ROOT / "deploy" / "grafana" / "duly.json": dashboard(),
        ROOT / "docs" / "operate" / "metrics.md": metrics_page(),
        ROOT / "docs" / "operate" / "runbook" / "index.md": runbook_index(),
    }


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(prog="python -m deploy.monitoring")
    parser.add_argument("--docs-url", help="URL of the published documentation, for the runbook links")
    for path, text in files(parser.parse_args().docs_url).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
