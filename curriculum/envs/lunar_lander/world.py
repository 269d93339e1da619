"""The world of one LunarLander episode, built from definitions that are made only once.

Gymnasium 1.4.0 `envs/box2d/lunar_lander.py` (MIT licence) defines what has to come out: the same
bodies, fixtures and joints in the same order, from the same draws. Every episode has a new world,
because what was destroyed leaves traces in the order of an old one (Gymnasium issue 728).
"""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

from Box2D import (
    b2_dynamicBody,
    b2BodyDef,
    b2ContactListener,
    b2EdgeShape,
    b2FixtureDef,
    b2PolygonShape,
    b2RevoluteJointDef,
    b2World,
)
from gymnasium.envs.box2d import lunar_lander as stock

# Box2D's properties and methods cost a multiple of the functions behind them.
raw: Any = import_module("Box2D._Box2D")

WIDTH = stock.VIEWPORT_W / stock.SCALE
HEIGHT = stock.VIEWPORT_H / stock.SCALE
HELIPAD_Y = HEIGHT / 4
_POINTS = 11
_HELIPAD = slice(3, 8)
_X = [WIDTH / (_POINTS - 1) * i for i in range(_POINTS)]
_GROUND_ONLY = 0x001


class Contacts(b2ContactListener):
    """Notes what touches the ground.

    Attributes:
        crashed: the hull has touched it.
        legs: 1.0 for each leg that touches it, else 0.0; left in the picture first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crashed = False
        self.legs = [0.0, 0.0]
        self._hull: Any = None
        self._feet: dict[Any, int] = {}

    def watch(self, hull: Any, legs: list[Any]) -> None:
        """Starts an episode with these bodies."""
        self.crashed = False
        self.legs = [0.0, 0.0]
        self._hull = hull
        self._feet = {leg: side for side, leg in enumerate(legs)}

    def BeginContact(self, contact: Any) -> None:
        """Is called by Box2D when a body first touches the ground."""
        for body in (contact.fixtureA.body, contact.fixtureB.body):
            if body == self._hull:
                self.crashed = True
            elif body in self._feet:
                self.legs[self._feet[body]] = 1.0

    def EndContact(self, contact: Any) -> None:
        """Is called by Box2D when a body leaves one of the edges that it touched."""
        for body in (contact.fixtureA.body, contact.fixtureB.body):
            if body in self._feet:
                self.legs[self._feet[body]] = 0.0

    def PreSolve(self, *_: Any) -> None:
        """Does nothing, sooner than Box2D's own that does nothing."""

    def PostSolve(self, *_: Any) -> None:
        """Does nothing, sooner than Box2D's own that does nothing."""


class Scene(NamedTuple):
    """One world; all but `world` are Box2D's own handles, valid as long as `world` is kept.

    Attributes:
        world: the world.
        engine: its handle.
        hull: the body that is steered.
        position: of the hull, in metres; it moves along.
        velocity: of the hull, in metres per second; it changes along.
    """

    world: Any
    engine: Any
    hull: Any
    position: Any
    velocity: Any


class Site:
    """Builds worlds.

    Args:
        gravity: in metres per second squared, negative is downwards.
    """

    def __init__(self, gravity: float) -> None:
        self.contacts = Contacts()
        self._gravity = (0, gravity)
        self._moon = b2BodyDef()
        self._floor = b2FixtureDef(shape=b2EdgeShape(vertices=[(0, 0), (WIDTH, 0)]))
        self._edge: Any = b2EdgeShape()
        self._slope: Any = b2FixtureDef(shape=self._edge, density=0, friction=0.1)
        self._hull = b2BodyDef(type=b2_dynamicBody, position=(WIDTH / 2, HEIGHT))
        self._hull_fixture = b2FixtureDef(
            shape=b2PolygonShape(
                vertices=[(x / stock.SCALE, y / stock.SCALE) for x, y in stock.LANDER_POLY]
            ),
            density=5.0,
            friction=0.1,
            categoryBits=0x0010,
            maskBits=_GROUND_ONLY,
            restitution=0.0,
        )
        self._legs = [(_leg(side), _joint(side)) for side in (-1, +1)]
        self._leg_fixture = b2FixtureDef(
            shape=b2PolygonShape(box=(stock.LEG_W / stock.SCALE, stock.LEG_H / stock.SCALE)),
            density=1.0,
            restitution=0.0,
            categoryBits=0x0020,
            maskBits=_GROUND_ONLY,
        )

    def build(self, heights: list[float], push: list[float]) -> Scene:
        """Returns a new world.

        Args:
            heights: of the 12 points of the ground before smoothing, in metres.
            push: force on the hull in the first step, `[x, y]` in newtons.
        """
        world: Any = b2World(gravity=self._gravity)
        engine = world.this
        raw.b2World___SetContactListener_internal(engine, self.contacts)
        self._build_ground(raw.b2World___CreateBody(engine, self._moon).this, heights)
        hull = raw.b2World___CreateBody(engine, self._hull)
        handle = hull.this
        raw.b2Body___CreateFixture(handle, self._hull_fixture)
        raw.b2Body_ApplyForceToCenter(handle, push, True)
        self.contacts.watch(hull, [self._attach(engine, handle, *leg) for leg in self._legs])
        position, velocity = (
            raw.b2Body___GetPosition(handle),
            raw.b2Body___GetLinearVelocity(handle),
        )
        return Scene(world, engine, handle, position.this, velocity.this)

    def _build_ground(self, moon: Any, heights: list[float]) -> None:
        heights[_HELIPAD] = [HELIPAD_Y] * 5
        create, edge, slope = raw.b2Body___CreateFixture, self._edge.this, self._slope.this
        create(moon, self._floor)
        points = [
            (x, 0.33 * (heights[i - 1] + heights[i] + heights[i + 1])) for i, x in enumerate(_X)
        ]
        for left, right in pairwise(points):
            raw.b2EdgeShape___Set(edge, left, right)
            create(moon, slope)

    def _attach(self, engine: Any, hull: Any, leg: b2BodyDef, joint: b2RevoluteJointDef) -> Any:
        body = raw.b2World___CreateBody(engine, leg)
        raw.b2Body___CreateFixture(body.this, self._leg_fixture)
        raw.b2JointDef_bodyA_set(joint, hull)
        raw.b2JointDef_bodyB_set(joint, body)
        raw.b2World___CreateJoint(engine, joint)
        return body


def _leg(side: int) -> b2BodyDef:
    return b2BodyDef(
        type=b2_dynamicBody,
        position=(WIDTH / 2 - side * stock.LEG_AWAY / stock.SCALE, HEIGHT),
        angle=side * 0.05,
    )


def _joint(side: int) -> b2RevoluteJointDef:
    joint = b2RevoluteJointDef(
        localAnchorA=(0, 0),
        localAnchorB=(side * stock.LEG_AWAY / stock.SCALE, stock.LEG_DOWN / stock.SCALE),
        enableMotor=True,
        enableLimit=True,
        maxMotorTorque=stock.LEG_SPRING_TORQUE,
        motorSpeed=+0.3 * side,
        referenceAngle=side * 0.05,
    )
    joint.lowerAngle, joint.upperAngle = (+0.9 - 0.5, +0.9) if side < 0 else (-0.9, -0.9 + 0.5)
    return joint
