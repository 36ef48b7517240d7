"""Renders the chart with Helm's library and validates what it renders by the schemas of Kubernetes.

It runs in an environment of its own: reads a list of values from standard input, and writes one result for each.
"""

import json
import sys
from typing import Any

import helm_python
import kubernetes_validate
import yaml

OLDEST = "1.29"
NEWEST = "1.37"


def rendered(chart: str, values: dict[str, Any]) -> dict[str, Any]:
    """Returns the resources, and the kinds that Kubernetes itself does not define."""
    try:
        with helm_python.Chart.load(chart) as loaded:
            loaded.validate_schema(values)
            files = loaded.render(values, name="prod", namespace="jobs")
    except helm_python.HelmError as error:
        return {"error": str(error), "resources": [], "findings": []}
    texts = [text for path, text in files.items() if not path.endswith(".txt")]
    resources = [resource for text in texts for resource in yaml.safe_load_all(text) if resource]
    findings = [
        finding for resource in resources for version in (OLDEST, NEWEST) for finding in check(resource, version)
    ]
    return {"error": "", "resources": resources, "findings": findings}


def check(resource: dict[str, Any], version: str) -> list[str]:
    """Returns what the strict schema of this version rejects."""
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return [] if resource["apiVersion"].partition("/")[0] in CUSTOM else [f"unknown kind {resource['kind']}"]
    except kubernetes_validate.ValidationError as error:
        return [f"{resource['kind']} {resource['metadata']['name']}: {error}"]
    return []


CUSTOM = {"keda.sh", "monitoring.coreos.com"}

if __name__ == "__main__":
    results = [rendered(sys.argv[1], values) for values in json.load(sys.stdin)]
    linted = helm_python.lint(sys.argv[1], strict=True)
    json.dump({"results": results, "lint": linted}, sys.stdout)
