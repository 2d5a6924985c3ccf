"""The page of a running deployment: what its topics say, in a browser."""
