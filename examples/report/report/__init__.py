"""Report generation with progress: the punctuality of flights, as a web page and as CSV."""
