"""The networks of V, M and C as torch modules, their first weights and their losses."""
