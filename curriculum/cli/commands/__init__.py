"""What commands do: one module per group, imported only when one of its commands runs."""
