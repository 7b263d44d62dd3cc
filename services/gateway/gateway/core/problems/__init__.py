"""How a request that is wrong is refused."""
