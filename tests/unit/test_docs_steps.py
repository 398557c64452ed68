"""docs/steps.md is what ocirt/plan/document.py writes, and each step says where it may stand and what it does."""

from pathlib import Path

import pytest

from ocirt.plan import Plan, document
from ocirt.plan.encode import encoded
from ocirt.plan.steps import SECTIONS, STEPS, Nothing
from tests.unit.plans import config
from tests.unit.plans import plan as plan_of

PAGE = Path(__file__).resolve().parents[2] / "docs/steps.md"


def test_the_page_is_what_the_definitions_say():
    assert PAGE.read_text() == document.page(), "write it by hack/format"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_each_step_is_documented(step):
    assert step.sections and set(step.sections) <= set(SECTIONS)
    assert step.__doc__.strip().endswith(".") and step.sentence
    assert set(step.defaults) <= set(step.fields)


def test_a_step_in_another_section_is_an_error_of_the_compiler():
    plan = Plan(plan_of(config()).trace)
    plan.host.append(Nothing("root", ""))
    with pytest.raises(AssertionError, match="^the step Nothing must not stand in the section host$"):
        encoded(plan, "0" * 32)
