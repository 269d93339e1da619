"""What `python -m models.vae` and the like do: learn tiny data, and say what came out."""
