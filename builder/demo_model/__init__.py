"""The demo model: FLUX's exact architecture and files at a size that a laptop's CPU can run."""
