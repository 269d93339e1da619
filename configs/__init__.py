"""The configurations that come with the package, by their names; `curriculum.config.shipped`."""
