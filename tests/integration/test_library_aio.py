"""The library for asyncio: nothing waits in a thread, and a task that is cancelled leaves nothing behind."""

import asyncio
import gc
import linecache
import os
import signal
import threading
import time

import pytest

from ocirt import (
    PIPE,
    CommandFailed,
    ConfigError,
    Event,
    NoContainer,
    ProgramError,
    RequestError,
    TimeoutExpired,
    WrongState,
    aio,
)
from ocirt import Container as Blocking
from tests.integration.harness import LIMIT, cgroups_path
from tests.integration.library import children, config_for, descriptors


@pytest.fixture
def in_loop(ocirt):
    """Runs a coroutine function, and looks at what it leaves: no child, no descriptor, no thread that it needed."""

    def run(function):
        gc.collect()  # what earlier tests have left must not be in it
        before = descriptors()

        async def main():
            await asyncio.wait_for(function(), LIMIT * 2)
            assert threading.active_count() == 1, threading.enumerate()

        asyncio.run(main())
        gc.collect()
        assert (children(), descriptors()) == ([], before)
        assert ocirt.ids() == []

    return run


@pytest.fixture
def box(image, runtime):
    def make(*args, name="c1", **more):
        return aio.Container.create(
            config=config_for(*args, cgroup=cgroups_path(name)), rootfs=image, id=name, runtime=runtime, **more
        )

    return make


def test_life(in_loop, box, runtime):
    async def main():
        async with box("sh", "-c", "read word; echo got $word; exit 7", stdin=PIPE, stdout=PIPE) as container:
            assert container.status == "created"
            await container.start()
            container.stdin.write(b"it\n")
            await container.stdin.drain()
            assert await container.stdout.read() == b"got it\n"
            assert await container.wait() == 7 == container.returncode and not container.oom
            with pytest.raises(WrongState):
                await container.start()
        with pytest.raises(NoContainer):
            _ = container.state
        container = await box("sleep", "60")
        assert [each.id for each in aio.Container.list(runtime=runtime)] == ["c1"]
        await container.start()
        with pytest.raises(TimeoutExpired):
            await container.wait(0.1)
        await container.kill(signal.SIGKILL)
        assert await container.wait() == 137
        await container.delete()

    in_loop(main)


def test_run(in_loop, image, runtime):
    async def main():
        async def one(number):
            config = config_for("sh", "-c", f"cat; exit {number}", cgroup=cgroups_path(f"c{number}"))
            return await aio.run(config=config, rootfs=image, input=f"{number}" * 100_000, runtime=runtime)

        for number, result in enumerate(await asyncio.gather(*map(one, range(20)))):
            assert (result.returncode, result.text) == (number, f"{number}" * 100_000)
        with pytest.raises(CommandFailed):
            await aio.run(config=config_for("false"), rootfs=image, check=True, runtime=runtime)
        with pytest.raises(TimeoutExpired):
            await aio.run(config=config_for("sleep", "60"), rootfs=image, timeout=0.5, runtime=runtime)
        with pytest.raises(ConfigError):
            await aio.run(config={**config_for("true"), "hostname": 3}, rootfs=image, runtime=runtime)
        with pytest.raises(RequestError):
            await aio.run(runtime=runtime)

    in_loop(main)


def test_exec(in_loop, box):
    async def main():
        async with box("sleep", "60") as container:
            await container.start()
            async with container.exec(
                ["sh", "-c", "read line; echo $line; exit 4"], stdin=PIPE, stdout=PIPE
            ) as process:
                process.stdin.write(b"word\n")
                assert await process.stdout.readline() == b"word\n"
                assert await process.wait() == 4 == process.returncode
            process = await container.exec(["sleep", "60"])
            with pytest.raises(TimeoutExpired):
                await process.wait(0.1)
            assert process.kill() and await process.wait() == 137 and not process.kill()
            await process.close()
            data = os.urandom(1 << 20)
            assert (await container.run(["cat"], input=data)).stdout == data
            with pytest.raises(TimeoutExpired):
                await container.run(["sleep", "60"], timeout=0.2)
            with pytest.raises(ProgramError):
                await container.exec(["nosuch"])

    in_loop(main)


@pytest.mark.v1
@pytest.mark.cgroups
def test_pause_update_stats_events(in_loop, box):
    async def main():
        async with box(
            "sh", "-c", "read go; dd if=/dev/zero of=/dev/null bs=500M count=1; read go", stdin=PIPE
        ) as container:
            await container.start()
            await container.pause()
            assert container.status == "paused"
            await container.resume()
            await container.update({"pids": {"limit": 9}})
            assert container.stats().process_limit == 9
            seen = []
            container.stdin.write(b"\n")
            async for event in container.events():
                if not seen:
                    container.stdin.write_eof()
                seen.append(event)
            assert seen[0] == Event("oom") and seen[-1] == Event("end")
            await container.wait()
            assert container.oom

    in_loop(main)


def test_several_tasks_wait_for_one_container(in_loop, box):
    async def main():
        async with box("sh", "-c", "read go; exit 3", stdin=PIPE) as container:
            await container.start()
            waiting = [asyncio.create_task(container.wait()) for _ in range(5)]
            await asyncio.sleep(0.05)
            container.stdin.write(b"\n")
            assert await asyncio.gather(*waiting) == [3] * 5

    in_loop(main)


def test_the_loop_goes_on_meanwhile(in_loop, image, runtime):
    """While containers are made, run and removed no step of the loop takes long: it is stopped only for posix_spawn."""

    async def main():
        longest, running = 0.0, True

        async def tick():
            nonlocal longest
            while running:
                begin = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - begin)

        ticking = asyncio.create_task(tick())
        for _ in range(10):
            await aio.run(config=config_for("sleep", "0.05"), rootfs=image, runtime=runtime)
        running = False
        await ticking
        assert longest < 0.05  # of CPU time in this thread: nothing computes, nothing spins

    in_loop(main)


@pytest.mark.parametrize("after", [0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 1])
def test_a_cancelled_run_leaves_nothing(in_loop, image, runtime, after):
    async def main():
        task = asyncio.create_task(aio.run(config=config_for("sleep", "60"), rootfs=image, runtime=runtime))
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert Blocking.list(runtime=runtime) == []

    in_loop(main)


@pytest.mark.parametrize("after", [0, 0.002, 0.01, 0.05])
def test_a_cancelled_create_leaves_nothing(in_loop, box, runtime, after):
    async def main():
        async def make():
            async with box("sleep", "60") as container:
                await container.start()
                await container.wait()

        task = asyncio.create_task(make())
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert Blocking.list(runtime=runtime) == []

    in_loop(main)


def test_a_cancelled_wait_goes_on(in_loop, box):
    async def main():
        async with box("sleep", "60") as container:
            await container.start()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(container.wait(), 0.1)
            assert container.status == "running"

    in_loop(main)


def test_a_result_tells_what_was_used(in_loop, image, runtime, box):
    async def main():
        result = await aio.run(config=config_for("sleep", "0.2"), rootfs=image, runtime=runtime)
        assert 0.1 <= result.seconds < LIMIT and result.cpu_seconds > 0 and result.memory_peak > 0
        async with box("sleep", "60") as container:
            await container.start()
            result = await container.run(["sleep", "0.2"])
            assert 0.1 <= result.seconds < LIMIT and result.cpu_seconds > 0 and result.memory_peak > 0

    in_loop(main)


def test_a_warning_points_to_the_line_of_the_task(in_loop, box):
    async def main():
        async with box("sleep", "60") as container:
            await container.start()
            with pytest.warns(RuntimeWarning, match="has no handler for signal 15") as told:
                await container.kill(signal.SIGTERM)
            (warning,) = told
            line = linecache.getline(warning.filename, warning.lineno)
            assert line.strip() == "await container.kill(signal.SIGTERM)"

    in_loop(main)


def test_an_init(in_loop, box):
    async def main():
        async with box("sleep", "60", init=True) as container:
            await container.start()
            await container.kill(signal.SIGTERM)
            assert await container.wait(LIMIT) == 128 + 15

    in_loop(main)
