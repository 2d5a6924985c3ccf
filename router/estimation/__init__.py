"""What each model would score and cost for a query, from similar ones before."""
