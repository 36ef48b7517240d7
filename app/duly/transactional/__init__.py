"""Submits jobs in a transaction of the caller's, in the Postgres of Duly's tables.

with Session(engine) as session, session.begin():
    session.add(order)
    job_id = submit(session, "send-confirmation", {"order": order.id}, queue="mail")
"""

from duly.transactional.connections import UnknownConnection, submit
from duly.transactional.statement import DEFAULT_SCHEMA, TransactionOptions

__all__ = ["DEFAULT_SCHEMA", "TransactionOptions", "UnknownConnection", "submit"]
