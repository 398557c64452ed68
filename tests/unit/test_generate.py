"""Handlers in C that are written when building: what `call` of a step becomes (ocirt/generate.py)."""

import errno

from ocirt import wordings
from ocirt.generate import call_handler, calls_source, error_words
from ocirt.plan import steps


def body(step):
    """The statements of a step's handler, without those that every one has."""
    lines = [line.strip() for line in call_handler(step).splitlines()]
    return [line for line in lines[2:] if line not in ("(void)s;", "}")]


def test_a_text_goes_with_its_length():
    assert body(steps.SetHostname) == [
        "int error = (int)sys2(SYS_sethostname, TEXT(name), strlen(TEXT(name)));",
        'return error < 0 ? failing(r, "sethostname", error) : 0;',
    ]


def test_a_number_stands_beside_what_c_takes_as_it_is():
    assert "int error = (int)sys5(SYS_prctl, PR_SET_DUMPABLE, NUMBER(value), 0, 0, 0);" in body(steps.SetDumpable)


def test_data_has_a_size_in_bytes_or_in_bits():
    assert "int error = (int)sys3(SYS_sched_setaffinity, 0, cpus_size, cpus);" in body(steps.SetAffinity)
    assert "int error = (int)sys3(SYS_set_mempolicy, NUMBER(mode), nodes, nodes_size * 8 + 1);" in body(
        steps.SetMemoryPolicy
    )


def test_a_structure_has_the_fields_in_the_kernels_types():
    assert body(steps.SetRlimit)[:2] == [
        "struct { uint64_t soft; uint64_t hard; } structure_2 = {s->soft, s->hard};",
        "int error = (int)sys4(SYS_prlimit, 0, NUMBER(resource), &structure_2, 0);",
    ]
    assert body(steps.SetScheduler)[0].startswith(
        "struct { uint32_t size; uint32_t policy; uint64_t flags; int32_t nice;"
    )
    assert "= {sizeof structure_1, s->policy," in body(steps.SetScheduler)[0]


def test_a_step_that_c_explains_calls_its_explanation():
    assert "if (error < 0) explain_set_rlimit(r, s, error);" in body(steps.SetRlimit)
    assert not any("explain" in line for line in body(steps.SetUmask))


def test_files_of_this_process_and_of_the_child():
    assert body(steps.SetOomScore) == ['return write_process_file(r, 0, "oom_score_adj", TEXT(value));']
    assert body(steps.DenySetgroups) == ['return write_process_file(r, r->child.pid, "setgroups", "deny");']
    assert body(steps.WriteIdMap) == ["return write_process_file(r, r->child.pid, TEXT(file), TEXT(map));"]


def test_each_step_with_a_call_has_one_handler():
    source = calls_source()
    assert all(source.count(f"do_{name}(") == 1 for name in ("unshare", "set_umask", "set_personality"))
    assert source.count("\nint do_") == len([step for step in steps.STEPS if step.call])


def test_errors_have_the_words_that_engines_look_for_whoever_builds(monkeypatch):
    """Another libc's Python, as musl's, words some of them differently."""
    words = error_words()
    assert '[2] = "no such file or directory"' in words and '[5] = "input/output error"' in words
    assert f"[{errno.ELIBBAD}]" in words and "Error" not in words
    monkeypatch.setattr(wordings, "strerror", lambda number: "I/O error")
    assert '[5] = "input/output error"' in error_words() and '[1] = "I/O error"' in error_words()
    monkeypatch.setitem(errno.errorcode, 134, "EFTYPE")  # of a newer C library than musl
    assert error_words().endswith('[134] = "I/O error"')
