"""Pages for people: a batch of data, a verdict, the life of a model."""
