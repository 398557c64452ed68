"""The steps that a plan consists of: this package is their only definition.

Each module here has the steps of one family, one class for each step. ``fields`` are, in order, what the executor gets.
``steps.h`` (:mod:`ocirt.generate`) and the encoder (:mod:`ocirt.plan.encode`) are derived from these fields, and
``docs/steps.md`` (:mod:`ocirt.plan.document`) from the classes and their docstrings, which the C handlers implement. A
new family must be added to the list of imports below. A field has one of these kinds:

``text``     one string: ``str``, :class:`~ocirt.model.text.Text` or ``Template``
``texts``    a list of strings, which may include a ``Texts`` (list slot)
``number``   a signed 64-bit integer: ``int`` or :class:`~ocirt.model.text.Number`
``fd``       the number of a descriptor register (below REGISTERS), which an earlier step fills
``fills``    the number of a register that this step fills
``takes``    the number of a register that this step empties, because it uses the descriptor up
``section``  the name of a section of the plan
``bytes``    data of any length, unchanged

A step carries a decision that the compiler has made. If a new step had to decide something, the compiler should decide
it instead. A step's number is its place in STEPS. The build id covers these files, so the order may change from build
to build.

These modules import nothing else, because every create that misses the cache loads them.
"""

from .base import *
from .cgroups import *
from .systemd import *
from .resctrl import *
from .child import *
from .namespaces import *
from .mounts import *
from .rootfs import *
from .hooks import *
from .notify import *
from .criu import *
from .state import *
from .process import *
from .seccomp import *
from .hardening import *

STEPS = tuple(Step.__subclasses__())
