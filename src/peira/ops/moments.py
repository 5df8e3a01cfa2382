"""Running mean and variance of a stream of batches."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Moments(eqx.Module):
    """Count, mean and sum of squared deviations of everything seen.

    Batches are merged by Chan, Golub & LeVeque's formula (1979), so the result does
    not depend on how the stream was cut. Nothing seen: mean 0, variance 1.
    """

    count: Float[Array, ""]
    mean: Float[Array, "*shape"]
    deviation: Float[Array, "*shape"]

    @classmethod
    def zero(cls, shape: tuple[int, ...]) -> "Moments":
        return cls(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape))

    @property
    def variance(self) -> Float[Array, "*shape"]:
        return jnp.where(
            self.count > 0, self.deviation / jnp.maximum(self.count, 1.0), 1.0
        )

    def merge(self, batch: Float[Array, "*n"]) -> "Moments":
        """See a batch, whose leading axes are all items; one that holds anything not
        finite is refused whole."""
        items = batch.reshape(-1, *self.mean.shape)
        n = float(items.shape[0])
        mean = items.mean(axis=0)
        deviation = jnp.square(items - mean[None]).sum(axis=0)
        total = self.count + n
        step = mean - self.mean
        merged = Moments(
            total,
            self.mean + step * n / total,
            self.deviation + deviation + jnp.square(step) * self.count * n / total,
        )
        good = jnp.isfinite(merged.deviation).all()  # so are all items then
        return jax.tree.map(lambda new, old: jnp.where(good, new, old), merged, self)

    def normalize(
        self, x: Float[Array, "*shape"], *, clip: float | None = None
    ) -> Float[Array, "*shape"]:
        """One item to zero mean and unit variance, then into `[-clip, clip]`."""
        z = (x - self.mean) * jax.lax.rsqrt(self.variance + 1e-8)
        return z if clip is None else jnp.clip(z, -clip, clip)
