"""What callers may ask for and what it costs, as the served model's page documents it.

A request is checked here, and refused in words, before anything is fetched or generated.
"""
