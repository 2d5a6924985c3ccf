"""The controller: shares of the budgets, prices, and commands given at run time."""
