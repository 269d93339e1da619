"""An agent on stage: played step by step in reality and in its dream, by itself or by a person."""
