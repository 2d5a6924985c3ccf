"""Money: ledgers, shares of limits, windows. Integers in nano-units only."""
