"""The lifecycle of a query inside a router, from record to decision to settlement."""
