"""Build time: write what C and Python must agree on, from the definitions in Python.

    python3 -m ocirt.generate [steps.h] [flags.h] [calls.c] [build-id.h] [_build.py] SOURCE...

Each named file is written if its content would change. Any other word is a source of the build id, which is a hash over
these sources, C and Python. ``_build.py`` is the build id for the package.
"""

import hashlib
import os
import re
import sys
from errno import errorcode
from pathlib import Path

from .cli import flags, record
from .compile.mount_options import SUPERBLOCK_FLAGS
from .errors import reason
from .model import shape, text
from .model.host import OLDEST_KERNEL
from .plan import cache, encode
from .plan.steps import EVENTS, PASSED, REGISTER_KINDS, REGISTERS, SECTIONS, STEPS, Facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .plan.steps import Step


def snake(name: str) -> str:
    """``MakeCgroup`` to ``make_cgroup``."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


def c_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def slot_paths(slots: "shape.Slots", kind: str, path: str = "") -> list[str]:
    """The places of slots of ``kind``, each as a C string: k, key and NUL for a member, a and NUL for an item."""
    if slots == kind:
        return [f'"{path}"']
    inner = (
        [(f"k{key}\\0", item) for key, item in slots.items()]
        if isinstance(slots, dict)
        else [("a\\0", item) for item in slots]
        if isinstance(slots, list)
        else []
    )
    return [found for step, item in inner for found in slot_paths(item, kind, path + step)]


WORDINGS = {
    "EIO": "input/output error",
    "ECHILD": "no child processes",
    "ENOMEM": "cannot allocate memory",
    "EBUSY": "device or resource busy",
    "EXDEV": "invalid cross-device link",
    "EMFILE": "too many open files",
    "ENOTTY": "inappropriate ioctl for device",
    "ESPIPE": "illegal seek",
    "EDOM": "numerical argument out of domain",
    "ERANGE": "numerical result out of range",
    "ENAMETOOLONG": "file name too long",
    "ELOOP": "too many levels of symbolic links",
    "ENOTUNIQ": "name not unique on network",
    "ELIBBAD": "accessing a corrupted shared library",
    "EOVERFLOW": "value too large for defined data type",
    "EUSERS": "too many users",
    "ENOTSOCK": "socket operation on non-socket",
    "EMSGSIZE": "message too long",
    "ENOTSUP": "operation not supported",
    "EOPNOTSUPP": "operation not supported",
    "EADDRINUSE": "address already in use",
    "ENETUNREACH": "network is unreachable",
    "ENOTCONN": "transport endpoint is not connected",
    "EUCLEAN": "structure needs cleaning",
    "EDQUOT": "disk quota exceeded",
}
"""Engines look for errors in the words of Go and glibc. A Python with musl words these differently."""


def error_words() -> str:
    """The words of every error, in C, by its number, because this Python may know a name that the C library does not."""
    words = {
        number: WORDINGS.get(name, reason(OSError(number, os.strerror(number))))
        for number, name in sorted(errorcode.items())
    }
    return ", ".join([f"[{number}] = {c_string(text)}" for number, text in words.items()])


def pairs(table: "Iterable[tuple[str, object]]") -> str:
    """The rows of a table in C."""
    return ", ".join([f"{{{first}, {second}}}" for first, second in table])


def cache_constants() -> list[str]:
    """What entries of the cache consist of, and what the scanner reads as one value."""
    lines = [f"#define CACHE_MAGIC {c_string(cache.MAGIC.decode())}", f"#define CACHE_FORMAT {cache.FORMAT}"]
    lines += [f"#define SCAN_MAX {cache.SCAN_MAX}", f"#define TEXT_MAX {cache.TEXT_MAX}"]
    lines += [f"#define UNIT_PATH_MAX {text.UNIT_PATH_MAX}", f"#define CACHE_LIMIT {cache.LIMIT}"]
    lines += [f"#define CACHE_VARIANTS {cache.VARIANTS}", f"#define RECORD_MAGIC {c_string(record.MAGIC.decode())}"]
    lines += [f"enum predicate {{ {', '.join('TEST_' + name.upper() for name in cache.PREDICATES)} }};"]
    lines += [f"enum {{ {', '.join(f'CHECK_{name} = {getattr(cache, name)}' for name in cache.CHECKS)} }};"]
    lines += [f"#define CACHE_PLACES {pairs((c_string(each), c_string(folder)) for each, folder in cache.PLACES)}"]
    types = [(hex(number), 1) for number in cache.IN_MEMORY.values()]
    types += [(hex(number), 0) for number in cache.WITH_DEVICES_BENEATH.values()]
    lines += [f"#define FILE_SYSTEMS_WITHOUT_DEVICE {pairs(types)}"]
    for name, kind in (("LIST", shape.LIST), ("RAW", shape.RAW)):
        paths = slot_paths(shape.SLOTS, kind) + slot_paths(shape.REQUEST, kind, "$\\0")
        lines.append(f"#define {name}_SLOTS " + " ".join(f"{name}({path})" for path in paths))
    return lines


def program_header() -> str:
    """steps.h: codes and structures of the steps and of the layout around them."""
    lines = [
        "// Generated by ocirt/generate.py from ocirt/plan/steps and encode.py.",
        "#pragma once",
        "#include <stdint.h>",
        "",
    ]
    lines += [
        f"#define PROGRAM_MAGIC {c_string(encode.MAGIC.decode())}",
        f"#define PROGRAM_FORMAT {encode.FORMAT}",
        f"#define OLDEST_KERNEL {c_string('.'.join(map(str, OLDEST_KERNEL)))}",
        f"#define BUILD_SIZE {encode.BUILD_SIZE}",
        f"#define REGISTERS {REGISTERS}",
        f"#define PASSED {PASSED}",
        "",
    ]
    lines += [
        "struct table { uint32_t offset, size; };",
        "struct program_header {",
        "  char magic[8];",
        "  uint32_t format, size;",
        "  char build[BUILD_SIZE];",
    ]
    lines += [f"  struct table {name};" for name in encode.HEADER_TABLES] + ["};", ""]
    lines += [
        "struct section { uint32_t first, count; };",
        "struct string { uint32_t first, count; };",
        "struct piece { uint32_t kind, a, b; };",
        "struct list { uint32_t first, count; };",
        "struct item { uint32_t kind, index; };",
        "struct patch { uint32_t offset, slot; };",
        "struct slot { uint32_t kind, count, offset, size; int64_t number; };",
        "struct step { uint16_t code, size; uint32_t at; };",
        "",
    ]
    for name in ("LITERAL", "SLOT", "NUMBER_SLOT", "STRING", "SPLICE", "TEXT_VALUE", "NUMBER_VALUE", "LIST_VALUE"):
        lines.append(f"#define {name} {getattr(encode, name)}")
    lines += cache_constants()
    lines += [f"#define ERROR_WORDS {error_words()}"]
    flags_of_options = [(c_string(option), flag) for option, flag in SUPERBLOCK_FLAGS.items()]
    lines += [f"#define SUPERBLOCK_FLAGS {pairs(flags_of_options)}"]
    lines += ["", "enum section_id {"] + [f"  SECTION_{name.upper()}," for name in SECTIONS] + ["  SECTION_COUNT", "};"]
    lines += ["#define SECTION_NAMES " + ", ".join(c_string(name) for name in SECTIONS)]
    lines += ["#define EVENT_NAMES " + ", ".join(c_string(name) for name in EVENTS)]
    lines += ["enum event {"] + [f"  EVENT_{name.upper()}," for name in EVENTS] + ["  EVENT_COUNT", "};", ""]
    lines += ["enum step_code {"] + [f"  STEP_{snake(step.__name__).upper()}," for step in STEPS]
    lines += ["  STEP_COUNT", "};", ""]
    for step in STEPS:
        fields = "".join(f" uint64_t {name};" for name in step.fields)
        lines.append(f"struct step_{snake(step.__name__)} {{ struct step head;{fields} }};")
    lines += ["// What a program knows of its container: its texts.", "struct facts {"]
    lines += [f"  const char *{name};" for name in Facts.fields] + ["};"]
    lines += [
        "",
        "// X(snake_case name, CODE, size, sentence, kinds of its fields, its kind and name in a trace)",
        "#define EACH_STEP(X) \\",
    ]
    kinds = {"text": "t", "texts": "l", "number": "n", "section": "s", "event": "e", "bytes": "b"} | dict.fromkeys(
        REGISTER_KINDS, "f"
    )
    for step in STEPS:
        sentence, letters = step.sentence, "".join(kinds[kind] for kind in step.fields.values())
        for index, name in enumerate(step.fields):
            sentence = sentence.replace("{" + name + "}", "{" + chr(ord("0") + index) + "}")
        lines.append(
            f"  X({snake(step.__name__)}, STEP_{snake(step.__name__).upper()}, {8 + 8 * len(letters)}, "
            f"{c_string(sentence)}, {c_string(letters)}, "
            f"{c_string(step.doing)}, {c_string(step.__name__)}) \\"
        )
    explained = [f"X({snake(step.__name__)})" for step in STEPS if step.explained]
    lines += ["", "// X(snake_case name) of each step of which C explains a failure", "#define EACH_EXPLAINED(X) \\"]
    return "\n".join([*lines, "  " + " ".join(explained), ""])


CALLS_BEGIN = """\
// Generated by ocirt/generate.py from ocirt/plan/steps: the handlers of steps that are one system call.
#include <signal.h>
#include <string.h>
#include <linux/ioprio.h>
#include <linux/landlock.h>
#include <linux/prctl.h>

#include "executor/process_file.h"
#include "executor/run.h"

#define SYS_prlimit SYS_prlimit64 // as the kernel calls it
"""
C_TYPES = {"u32": "uint32_t", "u64": "uint64_t", "i32": "int32_t"}


def c_structure(step: "type[Step]", members: str, name: str) -> str:
    """The declaration of the structure ``{TYPE FIELD, ...}`` of a step's ``call``, as the variable ``name``."""
    pairs = [member.split() for member in members.strip("{}").split(", ")]
    types = " ".join([f"{C_TYPES[kind]} {field};" for kind, field in pairs])
    forms = {"number": "s->{}", "fd": "r->fds[s->{}]"}
    values = ", ".join(
        [forms[step.fields[field]].format(field) if field in step.fields else f"sizeof {name}" for _, field in pairs]
    )
    return f"  struct {{ {types} }} {name} = {{{values}}};"


def call_handler(step: "type[Step]") -> str:
    """The handler in C of a step that has a ``call``."""
    name = snake(step.__name__)
    call, _, text = step.call.removesuffix(")").partition("(")
    arguments = re.findall(r"\{.*?\}|[^,\s][^,]*", text)
    lines = ["", f"int do_{name}(struct run *r, const struct step_{name} *s) {{", "  (void)s;"]
    for field in [field for field, kind in step.fields.items() if kind == "bytes"]:
        lines.append(f"  size_t {field}_size;")
        lines.append(f"  const void *{field} = bytes_of(r->program, s->{field}, &{field}_size);")

    def expression(index: int, argument: str) -> str:
        if argument.startswith("{"):
            lines.append(c_structure(step, argument, f"structure_{index}"))
            return f"&structure_{index}"
        if argument.startswith("'"):
            return c_string(argument.strip("'"))
        function, _, field = argument.removesuffix(")").rpartition("(")
        kind = step.fields.get(field)
        forms = {"text": f"TEXT({field})", "number": f"NUMBER({field})", "bytes": field, "fd": f"r->fds[s->{field}]"}
        value = forms.get(kind or "", argument)
        if kind and function:
            value = f"strlen({value})" if kind == "text" else f"{field}_size"
        return f"{value} * 8 + 1" if function == "bits" else value

    if call == "write":
        _, _, process, file = arguments[0].split("/")
        file = f"TEXT({file.strip('{}')})" if file.startswith("{") else c_string(file)
        who = {"self": "0", "CHILD": "r->child.pid"}[process]
        return "\n".join(
            [*lines, f"  return write_process_file(r, {who}, {file}, {expression(1, arguments[1])});", "}"]
        )
    values = [expression(index, argument) for index, argument in enumerate(arguments)]
    lines.append(f"  int error = (int)sys{len(values)}(SYS_{call}, {', '.join(values)});")
    lines += [f"  if (error == -{errno}) put(&r->detail, {c_string(hint)});" for errno, hint in step.hints.items()]
    if step.explained:
        lines.append(f"  if (error < 0) explain_{name}(r, s, error);")
    for field in [field for field, kind in step.fields.items() if kind == "fills"]:
        lines.append(f"  if (error >= 0) r->fds[s->{field}] = error;")
    return "\n".join([*lines, f"  return error < 0 ? failing(r, {c_string(call)}, error) : 0;", "}"])


def calls_source() -> str:
    """calls.c: the handlers of the steps that are one system call each."""
    return "\n".join([CALLS_BEGIN, *[call_handler(step).lstrip("\n") + "\n" for step in STEPS if step.call]])


SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU "
    "XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()
"""The names of the signals from 1 on."""
RTMIN, RTMAX = 34, 64
"""The real-time signals that programs may use. libc keeps the first two of the kernel's for itself."""


def signals() -> dict[str, int]:
    """Each name of a signal, without SIG, and its number."""
    found = {name: number for number, name in enumerate(SIGNALS, 1)} | {"RTMIN": RTMIN, "RTMAX": RTMAX}
    found |= {"IOT": found["ABRT"], "CLD": found["CHLD"], "POLL": found["IO"]}
    for offset in range(RTMAX - RTMIN + 1):
        found |= {f"RTMIN+{offset}": RTMIN + offset, f"RTMAX-{offset}": RTMAX - offset}
    return found


PARTS = (flags.KEY, flags.BOUND, flags.OTHER)


def part_name(part: str) -> str:
    return f"{part.upper()}_PART"


def flags_header() -> str:
    """flags.h: the flags that the launcher reads itself, from ocirt/cli/flags.py."""
    enum = {name: "FLAG_" + name.upper().replace("-", "_") for name in flags.FLAGS}
    lines = ["// Generated by ocirt/generate.py from ocirt/cli/flags.py.", "#pragma once", "", "enum flag_id {"]
    lines += [f"  {identifier}," for identifier in enum.values()] + ["  FLAG_COUNT", "};"]
    verbs = {name: (verb.launchers, verb) for name, verb in flags.NATIVE.items()}
    verbs |= {name: ([], flags.PYTHON[name]) for name in flags.HANDED_BACK}
    lines += [f"enum verb_id {{ {', '.join('VERB_' + verb.upper() for verb in verbs)}, VERB_COUNT }};", ""]
    lines += [
        f"enum {{ ONCE = {flags.ONCE}, PATHS = {flags.PATHS}, VALUES = {flags.VALUES} }};",
        "struct flag { const char *name; char letter, takes_value, repeats; unsigned char id; const char *const *choices; };",
        "struct verb { const char *name; const struct flag *flags;",
        "              unsigned char arguments_min, arguments_max, command; };",
        "",
    ]

    def table(name: str, rows: "Iterable[flags.Flag]") -> None:
        lines.append(f"static const struct flag {name}[] = {{")
        for flag in rows:
            letter = f"'{flag.letter}'" if flag.letter else "0"
            switches = f"{int(flag.takes_value)}, {int(flag.repeats)}"
            words = "".join([f"{c_string(choice)}, " for choice in flag.choices])
            choices = f"(const char *const[]){{{words}0}}" if flag.choices else "0"
            lines.append(f"  {{{c_string(flag.name)}, {letter}, {switches}, {enum[flag.name]}, {choices}}},")
        lines.append("  {0}};")

    table("global_flags", flags.GLOBAL)
    for name, (taken, _) in verbs.items():
        table(f"{name}_flags", taken)
    lines.append("static const struct verb native_verbs[] = {")
    for name, (_, verb) in verbs.items():
        lines.append(
            f"  {{{c_string(name)}, {name}_flags, {verb.arguments_min}, {verb.arguments_max}, {int(verb.command)}}},"
        )
    lines += [
        "  {0}};",
        "#define SIGNALS " + ", ".join([f"{{{c_string(name)}, {number}}}" for name, number in signals().items()]),
        "",
        f"enum flag_part {{ {', '.join(map(part_name, PARTS))} }};",
        f"enum flag_form {{ TEXT_FORM = {flags.TEXT}, VARIABLE_FORM = {flags.VARIABLE}, ID_FORM = {flags.ID}, USER_FORM = {flags.USER}, EITHER_FORM = {flags.EITHER} }};",
        "// By flag_id: where the request's document has the flag, and how (launch/request_json.c).",
        "static const struct { const char *name; unsigned char repeats, part, form; } flag_kinds[] = {",
        *[
            f"  {{{c_string(flag.name)}, {flag.repeats}, {part_name(flag.part)}, {flag.form}}},"
            for flag in flags.FLAGS.values()
        ],
        "};",
        "",
    ]
    return "\n".join(lines)


def build_id(sources: "Iterable[Path]") -> str:
    """32 hex digits: a hash over names and contents of ``sources``."""
    digest = hashlib.sha256()
    for source in sorted(map(Path, sources)):
        data = source.read_bytes()
        digest.update(f"{source.name} {len(data)} ".encode() + data)
    return digest.hexdigest()[: encode.BUILD_SIZE]


def build_header(build: str) -> str:
    """build-id.h: the identity of this build."""
    from . import __version__

    return (
        f'#pragma once\n#define BUILD_ID "{build}"\n#define OCIRT_VERSION "{__version__}"\n'
        f'#define SPEC_VERSION "{flags.SPEC_VERSION}"\n'
    )


def build_module(build: str) -> str:
    """_build.py: the same build id for the package."""
    return f'"""Written at build time."""\n\nBUILD_ID = "{build}"\n'


WRITERS: "dict[str, Callable[[list[Path]], str]]" = {
    "steps.h": lambda sources: program_header(),
    "flags.h": lambda sources: flags_header(),
    "calls.c": lambda sources: calls_source(),
    "build-id.h": lambda sources: build_header(build_id(sources)),
    "_build.py": lambda sources: build_module(build_id(sources)),
}


def main(*words: str) -> None:
    paths = [Path(word) for word in words]
    sources = [path for path in paths if path.name not in WRITERS]
    for output in paths:
        if output.name in WRITERS:
            text = WRITERS[output.name](sources)
            if not output.exists() or output.read_text() != text:  # an untouched file rebuilds nothing
                output.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
