"""Returns and advantages, for one trajectory each; callers vmap.

Two kinds of end are told apart everywhere: after `terminated` nothing follows, so
nothing is bootstrapped; after `truncated` the world went on without us, so the value
of the true successor is.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def gae(
    reward: Float[Array, " time"],
    value: Float[Array, " time"],
    next_value: Float[Array, " time"],
    terminated: Bool[Array, " time"],
    truncated: Bool[Array, " time"],
    *,
    gamma: float | Float[Array, ""],
    lam: float | Float[Array, ""],
) -> Float[Array, " time"]:
    """Generalised advantage estimates, `Aₜ = Σₖ (γλ)ᵏ δₜ₊ₖ` up to the episode's end.

    `next_value[t]` is the value of the true successor of step t.
    Schulman et al., 2016, eq. 16. https://arxiv.org/abs/1506.02438
    """
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    carry_on = gamma * lam * (1.0 - (terminated | truncated))

    def back(later: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        d, c = x
        now = d + c * later
        return now, now

    zero = jnp.zeros_like(delta[0])
    return jax.lax.scan(back, zero, (delta, carry_on), reverse=True)[1]


def lambda_return(
    reward: Float[Array, " time"],
    next_value: Float[Array, " time"],
    terminated: Bool[Array, " time"],
    truncated: Bool[Array, " time"],
    *,
    gamma: float | Float[Array, ""],
    lam: float | Float[Array, ""],
) -> Float[Array, " time"]:
    """`Gₜ = rₜ + γ ((1-λ) V(sₜ₊₁) + λ Gₜ₊₁)`, cut to `V` where the episode is cut.

    Sutton & Barto, 2018, eq. 12.2 in recursive form.
    """
    alive = 1.0 - terminated
    cut = truncated.at[-1].set(True)  # beyond the data only the value is known

    def back(later: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        r, v, a, c = x
        mixed = jnp.where(c, v, (1 - lam) * v + lam * later)
        now = r + gamma * a * mixed
        return now, now

    xs = (reward, next_value, alive, cut)
    return jax.lax.scan(back, jnp.zeros_like(reward[0]), xs, reverse=True)[1]


def n_step(
    reward: Float[Array, " time"],
    terminated: Bool[Array, " time"],
    truncated: Bool[Array, " time"],
    *,
    gamma: float | Float[Array, ""],
) -> tuple[Float[Array, ""], Float[Array, ""], Int[Array, ""]]:
    """The return over a window, cut at the first end of an episode.

    Gives `Σₖ γᵏ rₖ` up to and with step `last`, the factor of the bootstrap value
    (`γ^(last+1)`, or zero after a death), and `last` itself, whose successor is what
    to bootstrap from. Sutton, 1988; Hessel et al., 2018, eq. 5.
    """
    n = reward.shape[0]
    over = terminated | truncated
    last = jnp.where(over.any(), jnp.argmax(over), n - 1)
    power = jnp.asarray(gamma) ** jnp.arange(n)
    total = jnp.where(jnp.arange(n) <= last, power * reward, 0.0).sum()
    bootstrap = jnp.where(terminated[last], 0.0, power[last] * gamma)
    return total, bootstrap, last
