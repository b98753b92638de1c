"""Programs that run while building: weights, lock files. The worker imports nothing of it."""
