"""What test_proof.py runs: pytest collects it only by its name."""


def test_fails_with_both(runtime):
    assert not runtime


def test_fails_with_ocirt(runtime):
    assert runtime == "runc"
