"""Environments of Gymnasium: how they are seen, checked and played, and what is theirs to blame."""
