"""From a request to pixels: text to embeddings, noise to latents, latents to pixels, with progress,
previews and a stop between the denoising steps.
"""
