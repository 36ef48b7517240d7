"""Types in Python and TypeScript, written from JSON Schemas.

`schema` reads a JSON Schema into the types of `model`; `python_types` and `typescript_types` write them.
"""
