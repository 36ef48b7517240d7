"""Running: the pool of slots, one attempt, and the three places where a handler can run."""
