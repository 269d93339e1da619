"""Episodes as one would watch them: in the game's own colours, at its own size and speed."""
