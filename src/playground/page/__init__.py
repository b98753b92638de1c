"""The page itself, in Gradio: what stands where, what happens when, and what is said."""
