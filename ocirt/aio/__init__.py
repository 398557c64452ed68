"""The library for asyncio: what the package ``ocirt`` has for programs that block, awaited.

    async with ocirt.aio.Container.create(config=config, rootfs="/srv/python", stdout=ocirt.PIPE) as container:
        await container.start()
        print(await container.stdout.read())

No thread waits: the event loop watches pidfds and pipes. A cancelled task leaves nothing behind: it ends once its
operation has been completed (a start, a delete) or undone (a create, a run).

hack/unasync makes a module for programs that block from each other module of this package.
"""

from ..library.eventloop import Coming
from .container import Container, Process, run
from .pools import Pool
from .sandboxes import Live, Sandbox, Snapshot

__all__ = ["Coming", "Container", "Live", "Pool", "Process", "Sandbox", "Snapshot", "run"]
