"""Records in chunks: all that touches the private side of Faust."""
