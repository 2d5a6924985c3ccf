"""Traces: spans of a query on its way through routers, workers and models' servers."""
