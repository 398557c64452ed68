"""Ctrl-C at each moment of a container's life: no descriptor, process or container remains, without the help of the garbage
collector.

CPython runs signal handlers when a call returns, when a function begins and when a loop goes round. A tracer raises the exception of
such a handler at each of these places, once for each place in the package's code.
"""

from tests.integration.library_fixtures import service
from tests.integration.test_library_service import ended

__all__ = ["service"]  # a fixture of the test here

INTERRUPT = """
import dis, gc, os.path
from ocirt.library.children import _reap_abandoned

PACKAGE = os.path.dirname(ocirt.__file__) + "/"
places, targets, seen = {}, [], []


def places_of(code):
    '''The offsets in the code at which CPython may run a signal handler: before the instruction there.'''
    if code not in places:
        instructions = list(dis.get_instructions(code))
        places[code] = {after.offset for each, after in zip(instructions, instructions[1:])
                        if each.opname.startswith("CALL") or each.opname == "RESUME" and each.arg < 2}
        places[code] |= {each.argval for each in instructions if each.opname == "JUMP_BACKWARD"}
    return places[code]


def trace_calls(frame, event, _):
    if frame.f_code.co_filename.startswith(PACKAGE):
        frame.f_trace_opcodes = True
        return trace_opcodes


def trace_opcodes(frame, event, _):
    here = frame.f_code, frame.f_lasti
    if event == "opcode" and frame.f_lasti in places_of(frame.f_code):
        if not targets:
            seen.append((*here, frame.f_lineno))
        elif targets[-1][:2] == here:
            raise KeyboardInterrupt  # and the interpreter traces no more
    return trace_opcodes


def live():
    with ocirt.Container.create(config=config_for("sleep", "60"), rootfs=image, runtime=runtime) as container:
        container.start()


def live_traced():
    '''Was the life interrupted?'''
    sys.settrace(trace_calls)
    try:
        live()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def settle():
    '''Wait for the supervisors that nobody holds any more.'''
    end = time.monotonic() + 10
    while (children() or ocirt.Container.list(runtime=runtime)) and time.monotonic() < end:
        _reap_abandoned()


live()
settle()
before = set(descriptors().items())
sys.unraisablehook = lambda _: None  # CPython drops what is raised in a finalizer
live_traced()
settle()
gc.collect()
gc.disable()
interrupted, lost = 0, []
for targets[:] in [[each] for each in dict.fromkeys(seen)]:
    interrupted += live_traced()
    settle()
    code, _, line = targets[0]
    held = set(descriptors().items()) - before
    lost += [f"{code.co_filename}:{line}: {each}" for each in [*held, *children()]]
    before |= held
    if lost:
        break
print(lost or interrupted > 300)
"""


def test_an_interruption_at_each_place(service):
    assert ended(service(INTERRUPT)) == "True\n"
