"""Model workers: consume routed queries, call the model, publish results."""
