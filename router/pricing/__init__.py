"""Dual prices of the budgets, and the demand that they are solved for."""
