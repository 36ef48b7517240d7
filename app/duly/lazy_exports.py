"""Exports of a package that are imported on first use, so that importing the package takes no time."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_exports(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """Returns the `__getattr__` (PEP 562) of a package that exports these names of these modules."""
    module_of = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        value = getattr(import_module(module_of[name]), name)
        setattr(sys.modules[package], name, value)  # later uses do not come here
        return value

    return get
