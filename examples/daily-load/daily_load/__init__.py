"""20 million jobs a day: the load of a day with a tenfold peak, run for minutes, and the arithmetic of operating it."""
