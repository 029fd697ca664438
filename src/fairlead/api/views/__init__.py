"""What the API shows, by noun: Pydantic, made from records."""
