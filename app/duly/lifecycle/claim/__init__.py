"""Claim: ready jobs for free slots, and the restrictions that hold them back."""
