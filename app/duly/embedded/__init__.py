"""The embedded PostgreSQL: one server for each data folder, shared by the processes of a machine."""
