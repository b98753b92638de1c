"""How latency and cost grow with load: an endpoint on Runpod, simulated."""
