"""C from a replay: distributional Q-learning for discrete actions, soft actor-critic for others."""
