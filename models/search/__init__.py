"""What searches for parameters by fitness alone: evolution in numpy, and pycma."""
