"""The whole system while its processes are killed."""
