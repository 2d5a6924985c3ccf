"""What routers and workers expose to Prometheus."""
