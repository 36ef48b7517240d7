"""Composition of one process: the parts of its roles, the loops that run them, start and shutdown."""

from duly.node.node import Node

__all__ = ["Node"]
