"""Clients of the router: producers of queries."""
