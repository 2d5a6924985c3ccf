"""The whole system on a broker."""
