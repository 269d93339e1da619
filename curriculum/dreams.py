"""Makes the dreams of learned agents known to Gymnasium, which imports this to look for them.

gymnasium.make("curriculum.dreams:curriculum/Dream-v0", path="pong")

See `curriculum.agent.dream_env.DreamEnv.from_run` for what else it takes.
"""

import gymnasium

ID = "curriculum/Dream-v0"

if ID not in gymnasium.registry:
    gymnasium.register(ID, "curriculum.agent.dream_env:open_dream")
