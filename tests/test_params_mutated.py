"""Mutated params.yaml: it is valid, or one line names the key."""

import copy
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from benchmark import check, params
from benchmark.running import errors
from tests.conftest import ROOT, YAML_SAFE, edit_params, run

COMMITTED = YAML_SAFE.load(ROOT / "params.yaml")
NAMES = st.sampled_from(["lr", "epochs", "seeds", "n_chans", "p", "baseline", "model"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.integers(-2, 12),
    st.floats(),
    st.floats(0, 1),
    st.text(max_size=6),
    st.sampled_from(["cpu", "cuda", "bf16", "synthetic", "bird", "1e-5", "${model}", "~"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(NAMES, st.text(max_size=4), st.integers()), inner, max_size=3
        ),
    ),
    max_leaves=5,
)


def paths(value, path=()):
    """Every place in params.yaml: sections, values, items of lists."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*path, key))


@st.composite
def mutated(draw):
    """The params with one to three places changed, removed, renamed or added to."""
    content = copy.deepcopy(COMMITTED)
    touched = set()
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(list(paths(content))))
        at = content
        for key in parents:
            at = at[key]
        touched.add((*parents, last))
        match draw(st.sampled_from(["change", "remove", "rename", "add"])):
            case "change":
                at[last] = draw(VALUES)
            case "remove":
                del at[last]
            case "rename" if isinstance(at, dict):
                new = draw(st.one_of(NAMES, st.text(min_size=1, max_size=5)))
                at[new] = at.pop(last)
                touched.add((*parents, new))
            case _ if isinstance(at, dict):
                new = draw(st.one_of(NAMES, st.text(max_size=5)))
                at[new] = draw(VALUES)
                touched.add((*parents, new))
        if not list(paths(content)):
            break
    return content, touched


def named_in(said, path):
    """Return whether the error is about this key, or about its section or list."""
    about = errors.UserError("params.yaml: " + ".".join(map(str, path)))
    section = str(about).rpartition(".")[0] if len(path) > 1 else str(about)
    # A row may have lost its recipe.
    recipe = len(path) == 1 and f"{path[0]!r} is not a recipe of this file" in said
    return recipe or said.startswith((str(about), section))


def write(content):
    with params.PARAMS.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(content, file)


@pytest.mark.slow
@settings(
    max_examples=500,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(mutated())
def test_mutated_params_are_valid_or_one_line(workplace, mutation):
    content, touched = mutation
    write(content)
    try:
        loaded = params.load()
        check.check_rows(loaded)
    except errors.UserError as error:
        said = str(error)
        assert said.startswith("params.yaml: ") and len(said.splitlines()) == 1
        assert any(named_in(said, path) for path in touched), (said, touched)
        return
    for name in loaded.rows:
        params.row_of(loaded, name)


# Errors that stages report when DVC runs them. Only the net's file can detect the last one.
THROUGH_DVC = [
    ("train.seeds", None),
    ("data.classes", ["bird"]),
    ("rows.l2_reg.l2_lambda", -1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), THROUGH_DVC, ids=[k for k, _ in THROUGH_DVC])
def test_through_dvc(scratch, key, value):
    edit_params(scratch, {key: value})
    printed = run("dvc", "repro", cwd=scratch, check=False)
    said = re.findall(rf"^error: params.yaml: {re.escape(key)}\b.*", printed, re.M)
    assert len(said) == 1
    assert "Traceback" not in printed
    changed = run("git", "status", "--porcelain", cwd=scratch).split()[1::2]
    assert changed == ["params.yaml"]
