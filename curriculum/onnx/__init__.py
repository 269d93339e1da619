"""Agents for other programs: V, M and C as ONNX graphs, whose outputs are checked to agree."""
