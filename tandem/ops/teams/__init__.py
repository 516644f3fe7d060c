"""Teams, keys, budgets and limits of the gateway as code, and what teams have spent."""
