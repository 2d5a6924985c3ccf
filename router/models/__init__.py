"""The models that queries can be sent to."""
