"""What the page of demonstrations says follows from its rows."""

import json

import pytest


@pytest.fixture
def imitation(paged):
    return paged("imitation")


def rows(learner: str, *hits: int) -> list[dict]:
    """A line per seed, of four episodes each."""
    return [
        {
            "learner": learner,
            "seed": seed,
            "step": 10,
            "returns": [1.0] * n + [0.0] * (4 - n),
        }
        for seed, n in enumerate(hits)
    ]


def test_a_learner_stands_beside_the_first(imitation):
    """Welch for 50, 75, 100 less 0, 25, 50: 50 by four degrees of freedom, and an error
    of 25 √(2/3), 20.4, times 2.776 to each side; Student's 25/√3 times 4.303, cut."""
    lines = rows("Diffusion Policy", 2, 3, 4) + rows("BC", 0, 1, 2)
    first, other, *rest = list(imitation.table(lines))
    assert first == "| Diffusion Policy | 3 | 75.0 [12.9, 100.0] | 50, 100 |  |"
    assert other == "| BC | 3 | 25.0 [0.0, 87.1] | 0, 50 | 50.0 [-6.7, 106.7] |"
    assert len(rest) == 3
    assert all("not run yet" in line for line in rest)


def test_the_page_says_how_often_the_script_succeeded(imitation):
    tried = {"learner": imitation.SCRIPT, "seed": 0, "step": 70, "returns": [1.0, 0.0]}
    imitation.KEPT.write_text(json.dumps(tried) + "\n")
    imitation.main(["--write"])
    page = imitation.PAGE.read_text()
    assert "succeeded in 1 of 2 episodes" in page
    for learner in imitation.LEARNERS:
        assert f"peira train {imitation.command(learner)}\n" in page
