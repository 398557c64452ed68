"""Sandboxes for asyncio: a service that runs strangers' code and answers with a picture, and many at once."""

import asyncio
import gc
import os
import threading

import pytest

from ocirt import aio
from tests.integration.harness import LIMIT
from tests.integration.library import children, descriptors
from tests.integration.sandboxes import describe

pytestmark = [pytest.mark.cgroupfs, pytest.mark.cgroups]
MANY = int(os.environ.get("OCIRT_TEST_SANDBOXES", "60"))
"""How many at once: 1,000 need 2 GB of memory and 12,000 descriptors."""


@pytest.fixture
def in_loop(ocirt):
    def run(function):
        gc.collect()  # what earlier tests have left must not be in it
        before = descriptors()

        async def main():
            await asyncio.wait_for(function(), LIMIT * 4)
            assert threading.active_count() == 1, threading.enumerate()

        asyncio.run(main())
        gc.collect()
        assert (children(), descriptors()) == ([], before)
        assert ocirt.ids() == [] and os.listdir(ocirt.root) == []

    return run


def test_a_service_that_answers_with_a_picture(in_loop, image, runtime):
    async def answer(box, code):
        try:
            result = await box.run(["sh", "-c", code], timeout=10)
        except TimeoutError:
            return "too slow"
        return result.files["/tmp/picture"] if "/tmp/picture" in result.files else result.stderr

    async def main():
        box = describe(aio.Sandbox, image, runtime, files={"/in/data": b"\x89data"})
        codes = [f"(cat /in/data; printf {number}) > /tmp/picture" for number in range(8)]
        answers = await asyncio.gather(*[answer(box, code) for code in codes], answer(box, "exit 1"))
        assert answers == [*[b"\x89data%d" % number for number in range(8)], b""]

    in_loop(main)


def test_an_open_sandbox(in_loop, image, runtime):
    async def main():
        async with describe(aio.Sandbox, image, runtime).open() as live:
            async with live.exec(["sh", "-c", "echo one; sleep 0.2; echo two"]) as process:
                assert [line async for line in process.lines()] == ["one", "two"]
            async with live.exec(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"]) as process:
                lines = [line async for line in process.lines()]
                assert len("".join(lines[:-1])) == 3_000_000 and lines[-1] == "end"
            assert (await live.run(["echo", "x"])).text == "x\n"
            snapshot = await live.snapshot()
        with snapshot:
            assert (await snapshot.fork()[0].run(["echo", "y"])).text == "y\n"

    in_loop(main)


def test_a_terminal(in_loop, image, runtime):
    async def main():
        script = "stty size; read line; stty size; echo $line"
        async with describe(aio.Sandbox, image, runtime).open() as live:
            async with live.exec(["sh", "-c", script], terminal=(10, 20)) as process:
                assert await process.stdout.readline() == b"10 20\r\n"
                process.resize(11, 21)
                process.stdin.write(b"typed\n")
                assert [line async for line in process.lines()] == ["typed", "11 21", "typed"]
                assert await process.wait() == 0

    in_loop(main)


def test_a_pool_of_a_sandbox(in_loop, image, runtime):
    async def main():
        box = describe(aio.Sandbox, image, runtime, files={"/in/data": "in"})
        async with aio.Pool(box, size=2) as pool:
            answers = [pool.run(["sh", "-c", f"cat /in/data; echo {n} > /tmp/out"]) for n in range(6)]
            results = await asyncio.gather(*answers)
            assert {result.text for result in results} == {"in"}
            assert [result.files["/tmp/out"] for result in results] == [b"%d\n" % n for n in range(6)]

    in_loop(main)


def test_a_cancelled_run_leaves_nothing(in_loop, image, runtime):
    async def main():
        box = describe(aio.Sandbox, image, runtime)
        for pause in (0, 0.01, 0.05, 0.3):
            task = asyncio.create_task(box.run(["sleep", "60"]))
            await asyncio.sleep(pause)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    in_loop(main)


def test_many_at_once(in_loop, image, runtime):
    """Each of them runs while all run."""
    running, all_run = [], asyncio.Event()

    async def one(box):
        async with box.open() as live:
            async with live.exec(["sh", "-c", "echo begun; read word; echo $word"], stdin=-1) as process:
                assert (await process.stdout.readline()) == b"begun\n"
                running.append(process)
                if len(running) == MANY:
                    all_run.set()
                await all_run.wait()
                process.stdin.write(b"end\n")
                assert (await process.stdout.read()) == b"end\n"

    async def main():
        box = describe(aio.Sandbox, image, runtime, memory=None, disk="1m")
        await asyncio.gather(*[one(box) for _ in range(MANY)])

    in_loop(main)
    assert len(running) == MANY
