"""Figures that the service keeps itself: recorded every few seconds, and read for plots and scaling."""
