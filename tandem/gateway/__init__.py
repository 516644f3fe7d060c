"""The gateway for teams: what LiteLLM is told of the stack's models, of their prices, and of what is kept. Pure."""
