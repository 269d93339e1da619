"""What the types of the configuration say of themselves: a JSON Schema, and a list of all keys."""
