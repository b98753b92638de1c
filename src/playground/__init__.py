"""A page that makes images on an endpoint, and shows the code that makes the same ones."""
