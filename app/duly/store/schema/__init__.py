"""Declared tables, migrations, rights of the serving role and access paths."""
