"""The components that may be missing or broken, what each is for, and how to mend it.

The code of a component runs in a probe's interpreter: it imports the component *and uses it*,
because much of what breaks breaks at first use. Besides Python's own names it may call
`missing(reason)` and `expect(condition, otherwise)`, and set `version` and `detail`.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Component:
    """One thing that the curriculum may have to do without.

    Attributes:
        name: as the mode decision and the command line call it.
        title: what it is, for a person.
        code: Python that imports and uses it.
        requires: components without which it cannot work.
        lost_without: what cannot be done when it is unusable.
        fix: the command or step that mends it.
        packages: names of the installed distributions behind it.
        cacheable: whether its state stays what it was for days.
    """

    name: str
    title: str
    code: str
    requires: tuple[str, ...]
    lost_without: str
    fix: str
    packages: tuple[str, ...] = ()
    cacheable: bool = True


_REINSTALL = "pip install --force-reinstall --no-deps world-models-curriculum"

TORCH = Component(
    "torch",
    "PyTorch: a matrix product and its gradient",
    dedent("""\
        import torch
        version = torch.__version__
        a = torch.ones(2, 2, requires_grad=True)
        (a @ a).sum().backward()
        expect(a.grad.tolist() == [[4.0, 4.0], [4.0, 4.0]], f"wrong gradient {a.grad.tolist()}")
        """),
    (),
    "FULL: the world model",
    'pip install "torch==2.13.0"',
    ("torch",),
)
TORCH_CUDA = Component(
    "torch-cuda",
    "PyTorch on a CUDA device",
    dedent("""\
        import torch
        if not torch.cuda.is_available():
            missing("torch sees no CUDA device")
        a = torch.ones(2, 2, device="cuda", requires_grad=True)
        (a @ a).sum().backward()
        expect(a.grad.cpu().tolist() == [[4.0, 4.0], [4.0, 4.0]], "wrong gradient")
        version, detail = torch.version.cuda, torch.cuda.get_device_name()
        """),
    ("torch",),
    "speed (optional)",
    'needs an NVIDIA GPU and its driver, then a CUDA build: pip install "torch==2.13.0"',
    ("torch",),
)
GYMNASIUM = Component(
    "gymnasium",
    "Gymnasium: CartPole made, reset and stepped",
    dedent("""\
        import gymnasium
        version = gymnasium.__version__
        env = gymnasium.make("CartPole-v1")
        env.reset(seed=0)
        for _ in range(3):
            observation = env.step(env.action_space.sample())[0]
        expect(observation.shape == (4,), f"wrong observation {observation!r}")
        env.close()
        """),
    (),
    "FULL, GYM_ONLY: all tasks",
    'pip install "gymnasium[box2d]==1.4.0"',
    ("gymnasium", "numpy"),
)
ALE = Component(
    "ale_py",
    "Atari emulator and its ROMs: Pong made, reset and stepped",
    dedent("""\
        import ale_py
        import gymnasium
        version = ale_py.__version__
        gymnasium.register_envs(ale_py)
        env = gymnasium.make("PongNoFrameskip-v4")
        env.reset(seed=0)
        for _ in range(3):
            frame = env.step(env.action_space.sample())[0]
        expect(frame.shape == (210, 160, 3), f"wrong frame {frame.shape}")
        env.close()
        """),
    ("gymnasium",),
    "the real Pong and Breakout",
    'pip install "ale-py==0.12.1"',
    ("ale-py", "gymnasium", "numpy"),
)
BOX2D = Component(
    "box2d",
    "Box2D physics: LunarLander made, reset and stepped",
    dedent("""\
        import Box2D
        import gymnasium
        version = Box2D.__version__
        env = gymnasium.make("LunarLander-v3")
        env.reset(seed=0)
        for _ in range(3):
            observation = env.step(env.action_space.sample())[0]
        expect(observation.shape == (8,), f"wrong observation {observation!r}")
        env.close()
        """),
    ("gymnasium",),
    "real LunarLander, CarRacing",
    'pip install "gymnasium[box2d]==1.4.0"',
    ("box2d", "gymnasium", "numpy"),
)
PYGAME = Component(
    "pygame",
    "pygame: a surface drawn on, CarRacing rendered",
    dedent("""\
        import gymnasium
        import pygame
        version = pygame.version.ver
        surface = pygame.Surface((8, 8))
        surface.fill((10, 20, 30))
        expect(tuple(surface.get_at((4, 4)))[:3] == (10, 20, 30), "a surface holds a wrong colour")
        env = gymnasium.make("CarRacing-v3", render_mode="rgb_array")
        env.reset(seed=0)
        frame = env.step(env.action_space.sample())[0]
        expect(frame.shape == (96, 96, 3) and frame.max() > 0, f"wrong frame {frame.shape}")
        env.close()
        """),
    ("gymnasium", "box2d"),
    "real CarRacing, videos",
    'pip install "pygame-ce==2.5.8"',
    ("pygame-ce", "pygame", "gymnasium"),
)
CMA = Component(
    "cma",
    "pycma: one ask and tell",
    dedent("""\
        import cma
        import numpy as np
        version = cma.__version__
        rng = np.random.default_rng(1)
        solver = cma.CMAEvolutionStrategy(np.zeros(3), 0.5, {
            "randn": lambda *shape: rng.standard_normal(shape), "seed": np.nan, "popsize": 4,
            "signals_filename": None, "verb_log": 0, "verbose": -9,
        })
        candidates = solver.ask()
        solver.tell(candidates, [float(np.sum((x - 1) ** 2)) for x in candidates])
        expect(np.any(solver.mean != 0) and np.all(np.isfinite(solver.mean)), "no step was made")
        """),
    (),
    "pycma; numpy ES takes over",
    'pip install "cma==4.5.0"',
    ("cma", "numpy"),
)
STABLE_BASELINES3 = Component(
    "stable_baselines3",
    "Stable-Baselines3: PPO built, one action predicted",
    dedent("""\
        import numpy as np
        import stable_baselines3
        version = stable_baselines3.__version__
        agent = stable_baselines3.PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8,
                                      device="cpu")
        action, _ = agent.predict(np.zeros(4, np.float32))
        expect(int(action) in (0, 1), f"wrong action {action!r}")
        """),
    ("torch", "gymnasium"),
    "the PPO baseline",
    'pip install "stable-baselines3==2.9.2"',
    ("stable-baselines3", "torch", "gymnasium"),
)
TENSORBOARD = Component(
    "tensorboard",
    "TensorBoard: one event written",
    dedent("""\
        import os
        import tensorboard
        from tensorboard.summary import Writer
        version = tensorboard.__version__
        writer = Writer("events")
        writer.add_scalar("probe", 1.0, step=0)
        writer.close()
        written = sum(os.path.getsize(os.path.join("events", f)) for f in os.listdir("events"))
        expect(written > 0, "the event file is empty")
        """),
    (),
    "TensorBoard logs (optional)",
    'pip install "tensorboard==2.21.0"',
    ("tensorboard", "protobuf"),
)
VAE = Component(
    "vae",
    "V in torch: one update, encode, decode",
    dedent("""\
        import numpy as np
        import curriculum  # takes the models beside it, not a folder of yours
        from models.settings.vae import VAESettings
        from models.vae import ConvVAE
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 256, (4, 64, 64, 1), dtype=np.uint8)
        vision = ConvVAE((64, 64, 1), VAESettings(z_dim=8))
        loss = vision.update(frames, frames, rng)["loss"]
        expect(np.isfinite(loss), f"the loss is {loss}")
        latents = vision.encode(frames)
        expect(latents.shape == (4, 8), f"wrong latents {latents.shape}")
        expect(vision.decode(latents).shape == frames.shape, "wrong reconstruction")
        """),
    ("torch",),
    "FULL: tasks with pixels",
    _REINSTALL,
    ("torch", "numpy", "world-models-curriculum"),
)
MDNRNN = Component(
    "mdnrnn",
    "M in torch: one update, one imagined step",
    dedent("""\
        import numpy as np
        import curriculum
        from models.interfaces import SequenceBatch
        from models.mdnrnn import MDNRNN
        from models.settings.mdnrnn import MDNRNNSettings
        rng = np.random.default_rng(0)
        memory = MDNRNN(4, 2, MDNRNNSettings(rnn_size=16))
        draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
        zeros, ones = np.zeros((2, 5), np.float32), np.ones((2, 5), np.float32)
        batch = SequenceBatch(draw(2, 6, 4), draw(2, 5, 2), zeros, zeros, ones)
        loss = memory.update(batch, rng)["loss"]
        expect(np.isfinite(loss), f"the loss is {loss}")
        latents = draw(3, 4)
        state = memory.step(memory.initial_state(3), latents, draw(3, 2))
        imagined = memory.predict(state, latents, 1.0, rng)
        expect(imagined.latents.shape == (3, 4), f"wrong latents {imagined.latents.shape}")
        """),
    ("torch",),
    "FULL: memory and dreams",
    _REINSTALL,
    ("torch", "numpy", "world-models-curriculum"),
)
_USE_CONTROLLER = dedent("""\
    import numpy as np
    import curriculum
    from models.{module} import {name}
    controller = {name}(6, "continuous", 2, (4,), (-1.0, 0.0), (1.0, 1.0))
    rng = np.random.default_rng(0)
    parameters = rng.standard_normal(controller.num_parameters).astype(np.float32)
    controller.set_parameters(parameters)
    expect(np.array_equal(controller.get_parameters(), parameters), "parameters came back changed")
    actions = controller.act(rng.standard_normal((3, 6)).astype(np.float32))
    inside = np.all((actions >= (-1.0, 0.0)) & (actions <= (1.0, 1.0)))
    expect(actions.shape == (3, 2) and inside, f"wrong actions {{actions}}")
    """)
CONTROLLER = Component(
    "controller",
    "C in torch: parameters set, actions within bounds",
    _USE_CONTROLLER.format(module="controller", name="TorchController"),
    ("torch",),
    "torch C; numpy takes over",
    _REINSTALL,
    ("torch", "numpy", "world-models-curriculum"),
)
CONTROLLER_CPU = Component(
    "controller_cpu",
    "C in numpy: parameters set, actions within bounds",
    _USE_CONTROLLER.format(module="controller_cpu", name="CPUController"),
    (),
    "every mode",
    _REINSTALL,
    ("numpy", "world-models-curriculum"),
)
DISK = Component(
    "disk",
    "disk: a file written, synced and renamed",
    dedent("""\
        import os
        import shutil
        with open("written", "wb") as file:
            file.write(bytes(2**20))
            file.flush()
            os.fsync(file.fileno())
        os.replace("written", "renamed")
        expect(os.path.getsize("renamed") == 2**20, "the file read back is shorter than written")
        free = shutil.disk_usage(".").free
        detail = f"{free / 2**30:.1f} GiB free"
        expect(free >= 2**30, detail + "; a run wants 1 GiB or more")
        """),
    (),
    "checkpoints and resuming",
    "free space, or set TMPDIR and run_dir to a disk that can be written",
    cacheable=False,
)
MEMORY = Component(
    "memory",
    "memory: what is available",
    dedent("""\
        from pathlib import Path
        import psutil
        available = psutil.virtual_memory().available
        group = Path("/sys/fs/cgroup")
        limit = group / "memory.max"
        if limit.exists() and limit.read_text().strip() != "max":
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            used = int((group / "memory.current").read_text()) - int(stat["inactive_file"])
            available = min(available, int(limit.read_text()) - used)
        detail = f"{available / 2**30:.1f} GiB available"
        expect(available >= 2**30, detail + "; a run wants 1 GiB or more")
        block = bytearray(64 * 2**20)
        block[::4096] = bytes(len(block[::4096]))
        """),
    (),
    "large batches, workers",
    "close other programs, or lower env.num_envs and curriculum.workers",
    ("psutil",),
    cacheable=False,
)
SHM = Component(
    "shm",
    "shared memory: a segment made, written and removed",
    dedent("""\
        from multiprocessing import shared_memory
        segment = shared_memory.SharedMemory(create=True, size=2**20)
        try:
            segment.buf[:4] = b"test"
            expect(bytes(segment.buf[:4]) == b"test", "the segment lost what was written")
        finally:
            segment.close()
            segment.unlink()
        """),
    (),
    "buffers between workers",
    "give the container shared memory: docker run --shm-size=1g",
    cacheable=False,
)

COMPONENTS = (
    TORCH,
    TORCH_CUDA,
    GYMNASIUM,
    ALE,
    BOX2D,
    PYGAME,
    CMA,
    STABLE_BASELINES3,
    TENSORBOARD,
    VAE,
    MDNRNN,
    CONTROLLER,
    CONTROLLER_CPU,
    DISK,
    MEMORY,
    SHM,
)
"""Everything `diagnostics check` probes; what a component requires stands before it."""
