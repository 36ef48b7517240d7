"""Ticket sale: the seats of the morning's planes, a burst of buyers, and a counter that watches from outside."""
