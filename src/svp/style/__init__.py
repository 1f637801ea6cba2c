"""Style priors: encoder, contrastive objective, the saved style object."""
