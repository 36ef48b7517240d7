"""Figures of each minute: written by every node, sampled once a minute, read for plots."""
