"""Telling: what happened to a job is signed and posted to those who asked to hear of it."""
