"""The configuration: its settings, and the loader that reads and checks them."""
