"""What jobs do: the object and the context that users write their handlers against."""
