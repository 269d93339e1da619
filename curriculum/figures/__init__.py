"""Figures as SVG: what a run learned, in its report and on the page of a study."""
