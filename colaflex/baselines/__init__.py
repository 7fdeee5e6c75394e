"""Language models without latents, to hold latent models against."""
