"""A plugin of pytest for the guest: print each failure at once, because the guest's time may run out before the end."""


def pytest_runtest_logreport(report):
    if report.failed:
        print(f"\n{report.longreprtext}", flush=True)
