"""The laboratory: recorded outcomes in, what each policy would have made of them out."""
