"""Diffusion Policy: its loss and three updates in slow NumPy, what it does with its
plans, and two ways around an obstacle that it keeps apart."""

import dataclasses
import functools as ft
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import assert_close, box, exact, made_up
from tiny_data import dataset, fit, known
from updates import act, BOXED, CHOICES, MEAN, STD

from peira.algos.offline.diffusion import DiffusionPolicy, loss
from peira.core import BadConfig, Sample, Spec, TimeStep, Unsupported
from peira.core.protocols import check_serves
from peira.evidence.conformance import CHECKS, examine, Subject
from peira.nets import UNet


B, P, O, E = 3, 4, 2, 2
SMALL = {
    "observed": O,
    "horizon": P,
    "executed": E,
    "noise_steps": 6,
    "denoising_steps": 3,
    "hidden": (8,),
    "width": 8,
    "kernel": 3,
    "embedding": 4,
    "batch": B,
    "learning_rate": 0.01,
    "warmup": 2,
    "weight_decay": 0.1,
}
TRANSFORMER = {"denoiser": "transformer", "layers": 1, "heads": 2, "dropout": 0.0}
KINDS = pytest.mark.parametrize("changed", [{}, TRANSFORMER], ids=["unet", "attention"])


@ft.cache
def begun(**changed):
    """An algorithm, its state, and how it updates."""
    algorithm = DiffusionPolicy(**SMALL | changed)
    state = jax.jit(lambda k: algorithm.init(BOXED, key=k))(jr.key(0))
    return algorithm, state, jax.jit(lambda s, b, k: algorithm.update(s, b, key=k))


def windows(seed):
    steps = made_up(seed, act(BOXED), B, P)
    return Sample(steps, jnp.ones((B, P)), jnp.zeros((B, P), int))


def drawn(key):
    """When noise is added, and what noise."""
    k_time, k_noise, _ = jr.split(key, 3)
    return jr.randint(k_time, (B,), 0, 6), jr.normal(k_noise, (B, P, 2))


def left_after(step):
    """What is left of a plan after so many of 6 steps."""
    f = lambda i: np.cos((i / 6 + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.prod([max(f(i + 1) / f(i), 0.001) for i in range(step + 1)])


def slow_loss(answer, batch, key):
    """By what a network answers, one window after another."""
    s, (times, noise) = exact(batch.steps), drawn(key)
    errors = []
    for b in range(B):
        plan = (s.action[b] + 1) / 2 - 1
        seen = (s.obs[b, :O] - MEAN) / (STD + 1e-3)
        rest = left_after(int(times[b]))
        mixed = np.sqrt(rest) * plan + np.sqrt(1 - rest) * exact(noise[b])
        errors.append(np.square(answer(mixed, times[b], seen) - exact(noise[b])).mean())
    return np.mean(errors)


def loses_weight(net, changed):
    """All of a U-Net; of a transformer what multiplies, but not what reads images."""
    names = ("weight", "looks", "asks", "offers")
    one = lambda path, _: not changed or jax.tree_util.keystr(path).endswith(names)
    return jax.tree_util.tree_map_with_path(one, net)


@KINDS
def test_three_updates_are_the_papers(changed):
    """The loss by hand, with the network's own answers; AdamW with its rise and fall
    and the slow copy by hand, with the loss's own gradient."""
    _, state, update = begun(**changed)
    one, two = (0.9, 0.95) if changed else (0.95, 0.999)
    loses = loses_weight(state.slow, changed)
    kept = jnp.asarray([left_after(i) for i in range(6)], jnp.float32)
    net, slow = exact(state.net.net), exact(state.slow)
    m = v = jax.tree.map(np.zeros_like, net)
    slope = jax.jit(jax.grad(lambda n, s, p, k: loss(n, s, p, kept, key=k)))
    for t in range(1, 7):
        batch = windows(t)
        f32 = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), net)
        answer = lambda x, time, seen, f32=f32: np.asarray(
            f32(jnp.asarray(x, jnp.float32), time, jnp.asarray(seen, jnp.float32))
        )
        wanted = slow_loss(answer, batch, jr.key(t)) if t < 4 else None
        unit = jnp.asarray((batch.steps.action + 1) / 2 - 1)
        seen = (batch.steps.obs[:, :O] - MEAN[None, None]) / (STD[None, None] + 1e-3)
        g = exact(slope(f32, seen, unit, jr.key(t)))
        m = jax.tree.map(lambda m, g: one * m + (1 - one) * g, m, g)
        v = jax.tree.map(lambda v, g: two * v + (1 - two) * g * g, v, g)
        # up over 2 updates, then down over the other 6 of 8
        pace = [0, 0.5, *((1 + np.cos(np.pi * i / 6)) / 2 for i in range(6))][t - 1]

        def move(w, m, v, lost, t=t, pace=pace):
            m, v = m / (1 - one**t), v / (1 - two**t)
            return w - 0.01 * pace * (m / (np.sqrt(v) + 1e-8) + 0.1 * lost * w)

        net = jax.tree.map(move, net, m, v, loses)
        decay = 0.0 if t <= 2 else 1 - (1 + (t - 2)) ** -0.75
        slow = jax.tree.map(lambda s, n, d=decay: d * s + (1 - d) * n, slow, net)
        state, report = update(state, batch, jr.key(t))
        if wanted is not None:
            assert report.metrics["loss"] == pytest.approx(wanted, rel=1e-5)
        assert_close(state.net.net, net, rtol=1e-3, atol=1e-5)
        assert_close(state.slow, slow, rtol=1e-3, atol=1e-5)


def lively(state):
    """Larger weights in the copy that acts, so that plans differ."""
    size = 0.3 if isinstance(state.slow.body, UNet) else 0.1
    leaves, shape = jax.tree.flatten(state.slow)
    rng = np.random.default_rng(0)
    leaves = [x + size * rng.normal(size=x.shape).astype("f4") for x in leaves]
    return eqx.tree_at(lambda s: s.slow, state, jax.tree.unflatten(shape, leaves))


@ft.cache
def acting(**changed):
    """A policy; and how some actors play a sequence with it, one key per step."""
    algorithm, state, _ = begun(**changed)
    policy = algorithm.policy(lively(state))

    @jax.jit
    def play(obs, first, seed):
        def step(carry, now):
            obs, first, i = now
            each = lambda c, o, f, k: policy(
                c, TimeStep(o, jnp.zeros(()), f), key=k, explore=True
            )
            keys = jr.split(jr.fold_in(jr.key(seed), i), len(first))
            action, carry, _ = jax.vmap(each)(carry, obs, first, keys)
            return carry, action

        begin = jax.vmap(lambda _: policy.begin())(first[0])
        return jax.lax.scan(step, begin, (obs, first, jnp.arange(len(first))))[1]

    return policy, play


def seen(n, actors, seed=0):
    return np.random.default_rng(seed).normal(size=(n, actors, 3)).astype("f4")


def opened(n, actors, *where):
    """Whether an episode opens: at the first step, and at each (step, actor)."""
    first = np.zeros((n, actors), bool)
    first[0] = True
    for at in where:
        first[at] = True
    return first


def slow_plan(net, noise, seen):
    """DDIM by hand in 3 of the 6 steps; what is done of the plan begins where the last
    observation was."""
    x = exact(noise)
    for time in (4, 2, 0):
        now, then = left_after(time), left_after(time - 2) if time else 1.0
        guess = exact(net(jnp.asarray(x, jnp.float32), jnp.array(time), seen))
        signal = np.clip((x - np.sqrt(1 - now) * guess) / np.sqrt(now), -1, 1)
        guess = (x - np.sqrt(now) * signal) / np.sqrt(1 - now)
        x = np.sqrt(then) * signal + np.sqrt(1 - then) * guess
    return x[O - 1 : O - 1 + E]


@KINDS
def test_a_plan_is_done_in_its_order_and_then_made_anew(changed):
    """By the copy that acts and by what was last seen when it was made, always from the
    same noise."""
    policy, _ = acting(**changed)
    obs, noise = seen(5, 1)[:, 0], policy.policy.noise[0]
    net = lively(begun(**changed)[1]).slow
    slow = jax.jit(lambda *given: net(*given))
    carry, done = policy.begin(), []
    for i in range(5):
        t = TimeStep(jnp.asarray(obs[i]), jnp.zeros(()), jnp.array(i == 0))
        action, carry, _ = policy(carry, t, key=jr.key(i), explore=False)
        done.append((np.asarray(action) + 1) / 2 - 1)
    scaled = ((obs - MEAN) / (STD + 1e-3)).astype("f4")
    for start in (0, 2, 4):
        plan = slow_plan(slow, noise, jnp.asarray(scaled[[max(start - 1, 0), start]]))
        assert np.abs(plan[0] - plan[1]).max() > 1e-3
        for i, wanted in zip(range(start, min(start + 2, 5)), plan, strict=False):
            np.testing.assert_allclose(done[i], wanted, atol=1e-4)


def test_actors_side_by_side_do_not_see_each_other():
    """Also when their plans are due at different steps."""
    _, play = acting()
    obs, first = seen(7, 3), opened(7, 3, (3, 1), (4, 2))
    other = obs.copy()
    other[:, 1:] += 1
    one, same = play(obs, first, 0), play(other, first, 0)
    np.testing.assert_allclose(one[:, 0], same[:, 0], atol=1e-5)
    assert np.abs(one[:, 1] - same[:, 1]).max() > 1e-3
    late = play(obs, opened(7, 3), 0)
    np.testing.assert_allclose(one[:, 0], late[:, 0], atol=1e-5)


def test_an_episode_that_opens_clears_the_plan_and_what_was_seen():
    _, play = acting()
    obs, other = seen(7, 2), seen(7, 2, seed=1)
    other[3:] = obs[3:]
    first = opened(7, 2, (3, slice(None)))
    one, same = play(obs, first, 0), play(other, first, 0)
    np.testing.assert_allclose(one[3:], same[3:], atol=1e-5)
    assert np.abs(one[:3] - same[:3]).max() > 1e-3
    through = play(obs, opened(7, 2), 0)  # in the middle of a plan
    assert np.abs(one[3] - through[3]).max() > 1e-3


LEARNING = DiffusionPolicy(
    observed=1,
    horizon=4,
    executed=4,
    noise_steps=20,
    denoising_steps=10,
    hidden=(16,),
    width=32,
    kernel=3,
    embedding=16,
    batch=32,
    learning_rate=6e-3,
    warmup=1,
)


def around(episodes=60):
    """Around an obstacle by the left or the right: four steps to one side, somewhat as
    far as is seen at the beginning."""
    rng = np.random.default_rng(0)
    spec = Spec(box(-1, 1, 1), box(-1, 1, 1))
    walks = []
    for _ in range(episodes):
        side, far = rng.choice([-1, 1]), rng.uniform(0.4, 0.8)
        seen = np.full((5, 1), far)
        walks.append((seen, np.full((4, 1), side * far), np.zeros(4), True))
    return dataset(spec, walks)


# What an action does not know of later ones takes more steps to make up for.
DDPM = {"noise_steps": 100, "denoising_steps": 100, "eta": 1.0}


@KINDS
def test_two_ways_around_an_obstacle_are_kept_apart(changed):
    """Half of the plans go left and half go right, none straight on; each stays on its
    side, as far from the middle as was seen."""
    data = around()
    learning = dataclasses.replace(LEARNING, **changed, **(DDPM if changed else {}))
    state = fit(learning, data, 400 if changed else 300)
    policy = learning.policy(state)

    @jax.jit
    @jax.vmap
    def walk(far, seed):
        def step(carry, i):
            k = jr.fold_in(jr.key(seed), i)
            t = TimeStep(far[None], jnp.zeros(()), i == 0)
            action, carry, _ = policy(carry, t, key=k, explore=True)
            return carry, action[0]

        return jax.lax.scan(step, policy.begin(), jnp.arange(4))[1]

    together = 0.85 if changed else 0.95
    for far in (0.45, 0.75):
        found = np.asarray(walk(jnp.full(100, far), jnp.arange(100)))
        assert abs((found[:, 0] > 0).mean() - 0.5) < 0.25
        assert (np.sign(found) == np.sign(found[:, :1])).mean() > together
        assert np.median(abs(found)) == pytest.approx(far, abs=0.1)
        assert (abs(found) > 0.25).mean() > 0.8


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"horizon": 2}, "need at least 3"),
        ({"hidden": (8, 8), "horizon": 5}, "multiple of 2"),
        ({"denoising_steps": 7}, "at most noise_steps, 6"),
        ({"kernel": 4}, "odd"),
        (TRANSFORMER | {"horizon": 2}, "need at least 3"),
        (TRANSFORMER | {"heads": 3}, "a multiple of 3"),
    ],
)
def test_horizons_that_make_no_sense_are_refused(changed, said):
    with pytest.raises(BadConfig, match=said):
        DiffusionPolicy(**SMALL | changed).init(BOXED, key=jr.key(0))


def test_it_learns_numbers_from_a_dataset_only():
    spec = dataclasses.replace(BOXED, data=None)
    with pytest.raises(BadConfig, match="DiffusionPolicy learns from a dataset only"):
        DiffusionPolicy().init(spec, key=jr.key(0))
    with pytest.raises(Unsupported):
        check_serves(DiffusionPolicy(), CHOICES)


def test_a_window_reaches_back_to_what_is_read():
    deal = DiffusionPolicy(observed=3, horizon=8).store(known(around()))
    assert (deal.window, deal.before) == (8, 2)


def test_a_transformer_plans_over_any_number_of_steps():
    """Nothing halves the plan."""
    sizes = TRANSFORMER | {"hidden": (8, 8), "horizon": 5}
    algorithm = DiffusionPolicy(**SMALL | sizes)
    state = jax.eval_shape(lambda k: algorithm.init(BOXED, key=k), jr.key(0))
    assert state.slow.body.place.shape == (5, 8)


@pytest.mark.parametrize(
    ("kind", "warmup", "decay"), [("unet", 500, 1e-6), ("transformer", 1000, 1e-3)]
)
def test_where_nothing_is_said_it_is_trained_as_the_authors_do(kind, warmup, decay):
    unsaid = {"denoiser": kind, "warmup": None, "weight_decay": None}

    def written(**changed):
        algorithm = DiffusionPolicy(**SMALL | TRANSFORMER | unsaid | changed)
        state = jax.eval_shape(lambda k: algorithm.init(BOXED, key=k), jr.key(0))
        update = lambda s, b, k: algorithm.update(s, b, key=k)
        text = str(jax.make_jaxpr(update)(state, windows(0), jr.key(0)))
        return re.sub("0x[0-9a-f]+", "", text)

    said = {"warmup": warmup, "weight_decay": decay}
    assert written(**said) == written()
    for name, value in said.items():
        assert written(**said | {name: 2 * value}) != written()


def test_a_transformer_keeps_the_promises_of_an_algorithm():
    subject = Subject(DiffusionPolicy, {"denoiser": "transformer"})
    names = ("works", "structure", "observations", "keys")
    checks = [check for check in CHECKS if check.name in names]
    found = [(f.check, f.verdict) for f in examine(subject, checks)]
    assert found == [(check.name, "holds") for check in checks]
