"""The fixtures of tests/vm; tests/aarch64 runs by `hack/test --arch=aarch64`."""

from tests.vm.conftest import boot, report

__all__ = ["boot", "report"]
