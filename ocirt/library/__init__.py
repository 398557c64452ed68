"""The implementation of the library. Its public names are in :mod:`ocirt`; docs/library.md explains how to use it, and
why it is built so.

Every operation is a generator that yields what it waits for (:mod:`.waiting`). :class:`ocirt.Container` waits with
poll(2), :class:`ocirt.aio.Container` with the event loop; both run the same code.
"""
