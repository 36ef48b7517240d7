"""Approval of documents by people: docs/examples/document-approval.md."""
