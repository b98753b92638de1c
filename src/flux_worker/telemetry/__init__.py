"""What took how long: the stages of a cold start, and spans for whoever collects them."""
