"""Dashboard at `/ui`, its session and its files, the page of the API at `/docs`, and the redirect from `/`."""
