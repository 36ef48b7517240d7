"""App of a Django project that declares tasks, and its settings."""
