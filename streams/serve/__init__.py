"""The HTTP front: OpenAI's API over the topics `queries` and `results`."""
