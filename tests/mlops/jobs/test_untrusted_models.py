"""Models made to do harm, with a digest that fits: none runs a byte, each refusal names what was found."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from kinds import BINARY
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from mlops.contract import Model, ModelError, UntrustedModel
from mlops.contract.model_version import VersionFacts
from mlops.modeling import isolated_scoring
from mlops.modeling.isolated_scoring import run_trial
from mlops.platform.model_scan import artifact_digest, scan_folder
from mlops.platform.registry import Registry

MODEL = Model(build=lambda parameters: None)
FRAME = pd.DataFrame({"a": np.linspace(0, 1, 40), "b": np.arange(40) % 3.0})


def recorded(version, digest):
    """The version as an audit row with this digest of its files would have it loaded."""
    return replace(version, facts=VersionFacts(artifact_digest=digest))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A registry with one version, the folder that holds its files, and a clean copy of them."""
    home = tmp_path_factory.mktemp("home")
    registry = Registry(home)
    pipeline = Pipeline([("model", LogisticRegression())]).fit(FRAME, np.arange(40) % 2)
    with registry.open_run("/toy", "training", {}):
        version = registry.register_model(
            "dev.toy.model",
            pipeline,
            FRAME.head(3),
            trusted_types=(),
            method="predict_proba",
            requirements=["skops==0.16.0"],
            facts=VersionFacts(),
            tags={},
        )
    version = recorded(version, artifact_digest(next(home.glob("artifacts/**/model.skops")).parent))
    folder = next(home.glob("artifacts/**/model.skops")).parent
    shutil.copytree(folder, home / "clean")
    return registry, version, folder, home / "clean"


class Canary:
    """Says what to run, and whether it ran."""

    def __init__(self, file):
        self.file = file
        self.command = f"touch {file}"

    def __reduce__(self):
        return os.system, (self.command,)

    @property
    def pickled(self):
        return pickle.dumps(self)

    @property
    def module(self):
        return f"import os\nos.system({self.command!r})\ndef _load_pyfunc(path): os.system({self.command!r})\n"


@pytest.fixture
def canary(tmp_path):
    return Canary(tmp_path / "canary")


@pytest.fixture
def folder(store):
    _, _, folder, clean = store
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(clean, folder)


def mlmodel(folder, change):
    file = folder / "MLmodel"
    document = yaml.safe_load(file.read_text())
    change(document)
    file.write_text(yaml.safe_dump(document))


def flavor(name, **values):
    return lambda folder, canary: mlmodel(folder, lambda document: document["flavors"][name].update(values))


def key(name, value):
    return lambda folder, canary: mlmodel(folder, lambda document: document.update({name: value}))


def text(name, content, *, add=True):
    def write(folder, canary):
        before = (folder / name).read_text() if add else ""
        (folder / name).write_text(before + content.replace("COMMAND", canary.command))

    return write


def repacked(change):
    """Members of model.skops, name to bytes, changed by a function that may add more to the new archive."""

    def write(folder, canary):
        file = folder / "model.skops"
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            change(archive, members, canary)
            for name, content in members.items():
                archive.writestr(name, content)

    return write


def member(name, content):
    return repacked(lambda archive, members, canary: archive.writestr(name, content))


def array(make):
    def change(archive, members, canary):
        first = next(name for name in members if name.endswith(".npy"))
        members[first] = make(members[first], canary)

    return repacked(change)


def schema(change):
    def apply(archive, members, canary):
        members["schema.json"] = change(json.loads(members["schema.json"]), canary)

    return repacked(apply)


def with_object(_, canary):
    buffer = io.BytesIO()
    np.save(buffer, np.array([canary], object), allow_pickle=True)
    return buffer.getvalue()


def with_header(content, _):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    return buffer.getvalue() + content[-8:]


def zipped(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def steps(make):
    """The pipeline with one more step that only harm is in."""

    def write(folder, canary):
        harm = Pipeline([("harm", make(canary)), ("model", LogisticRegression())])
        skops.io.dump(harm, folder / "model.skops")

    return write


def transform_by(function):
    return steps(lambda canary: FunctionTransformer(function, kw_args={"command": canary.command}))


def pickled(folder, canary):
    (folder / "model.skops").unlink()
    (folder / "model.pkl").write_bytes(canary.pickled)
    flavor("sklearn", pickled_model="model.pkl", serialization_format="cloudpickle")(folder, canary)
    flavor("python_function", model_path="model.pkl")(folder, canary)


def own_loader(folder, canary):
    (folder / "code").mkdir()
    (folder / "code/harm.py").write_text(canary.module)
    flavor("python_function", loader_module="harm", code="code")(folder, canary)


def replaced(make):
    return lambda folder, canary: (folder / "model.skops").write_bytes(make(canary))


def trusting(folder, canary):
    transform_by(os.system)(folder, canary)
    flavor("sklearn", skops_trusted_types=["posix.system"])(folder, canary)


BOMB = bytes(2_000_000)
NESTED = '{"a":' * 50_000 + "1" + "}" * 50_000
LAUGHS = "a: &a [x,x]\n" + "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
HOSTILE = {
    "a pickle instead of the model": (pickled, "'model.pkl' has no place in a model"),
    "a pickle under the model's name": (replaced(lambda canary: canary.pickled), "model.skops is no skops file"),
    "a pickle behind an archive's first bytes": (replaced(lambda canary: b"PK\3\4" + canary.pickled), "cannot be read"),
    "a loader of its own with its code": (own_loader, "'code' has no place in a model"),
    "an edited loader": (flavor("python_function", loader_module="os"), "loader_module of MLmodel is 'os'"),
    "a code path in one flavor": (flavor("sklearn", code="/elsewhere"), "code of MLmodel is '/elsewhere', not None"),
    "a code path in the other": (flavor("python_function", code="x"), "python_function of MLmodel has code"),
    "a path out of the folder": (flavor("python_function", model_path="../../x"), "model_path of MLmodel is"),
    "another function to predict with": (flavor("python_function", predict_fn="fit"), "predict_fn of MLmodel is 'fit'"),
    "the format pickle": (flavor("sklearn", serialization_format="pickle"), "serialization_format of MLmodel is"),
    "edited trusted types, and their use": (trusting, "asks to trust posix.system"),
    "a flavor more": (
        lambda folder, canary: mlmodel(folder, lambda d: d["flavors"].update(spark={})),
        "MLmodel has the flavor 'spark'",
    ),
    "a flavor less": (
        lambda folder, canary: mlmodel(folder, lambda d: d["flavors"].pop("sklearn")),
        "sklearn of MLmodel lacks pickled_model",
    ),
    "an unknown key": (key("auth_policy", {}), "MLmodel has the key 'auth_policy'"),
    "no signature": (key("signature", None), "no signature of its inputs; it has no signature of its outputs"),
    "a signature without outputs": (
        lambda folder, canary: mlmodel(folder, lambda d: d["signature"].update(outputs=None)),
        "no signature of its outputs",
    ),
    "a tag that YAML would call": (
        text("MLmodel", "\nrun_id: !!python/object/apply:os.system ['COMMAND']\n"),
        "MLmodel has an anchor or a tag",
    ),
    "a billion laughs": (text("conda.yaml", LAUGHS, add=False), "conda.yaml has an anchor or a tag in line 1"),
    "an MLmodel that is a list": (text("MLmodel", "[1, 2]", add=False), "MLmodel is no mapping"),
    "a huge MLmodel": (text("MLmodel", "\n#" * 2**20), "MLmodel has"),
    "a package from anywhere": (text("requirements.txt", "\nharm @ https://example.com/h.zip"), "'harm @ https"),
    "another index": (text("requirements.txt", "\n--index-url https://example.com"), "'--index-url"),
    "a package nobody asked for": (text("requirements.txt", "\nharm==1.0"), "its requirements ask for 'harm==1.0'"),
    "another channel": (text("conda.yaml", "\nchannels: [harm]"), "conda.yaml asks for more"),
    "a package of conda": (
        text("conda.yaml", "channels: [conda-forge]\nname: x\ndependencies: [harm, pip: [skops==0.16.0]]", add=False),
        "its environment asks for 'harm'",
    ),
    "a package to build with": (
        text("python_env.yaml", "\nbuild_dependencies: ['harm']"),
        "its environment asks for 'harm'",
    ),
    "a package of the virtual environment": (
        text("python_env.yaml", "\ndependencies: ['-r requirements.txt', harm]"),
        "python_env.yaml asks for",
    ),
    "a program beside the model": (
        lambda folder, canary: (folder / "conftest.py").write_text(canary.module),
        "'conftest.py' has no place in a model",
    ),
    "a function that runs commands": (transform_by(os.system), "the type posix.system, which the use case does not"),
    "a function with its arguments": (
        steps(lambda canary: FunctionTransformer(partial(os.system, canary.command))),
        "the type functools.partial",
    ),
    "eval": (steps(lambda canary: FunctionTransformer(eval)), "the type builtins.eval"),
    "an import of the canary's own": (
        schema(lambda tree, canary: json.dumps({**tree, "__module__": "harm", "__class__": "Harm"}).encode()),
        "the type harm.Harm",
    ),
    "an unknown kind of node": (
        schema(lambda tree, canary: json.dumps({**tree, "__loader__": "Harm"}).encode()),
        "model.skops cannot be read: TypeError",
    ),
    "a schema nested without end": (schema(lambda tree, canary: NESTED.encode()), "model.skops is packed more than"),
    "an array of pickled objects": (array(with_object), "holds pickled objects"),
    "an array larger than its file": (array(with_header), "claims the shape (1000000000000,) of float64"),
    "an array that is none": (array(lambda content, canary: canary.pickled), "its files cannot be read: ValueError"),
    "a path out of the archive": (member("../../harm.py", "x"), "model.skops holds '../../harm.py'"),
    "an absolute path in the archive": (member("/etc/cron.d/harm", "x"), "model.skops holds '/etc/cron.d/harm'"),
    "a bomb": (member("7.npy", BOMB), "model.skops is packed more than 100 to 1"),
    "a bomb in a sparse matrix": (member("7.npz", zipped("data.npy", BOMB)), "model.skops is packed more than"),
    "a name twice": (
        repacked(lambda archive, members, canary: archive.writestr("schema.json", "{}") or archive.NameToInfo.clear()),
        "model.skops holds a file twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "named"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_model_is_refused_by_name_before_a_byte_of_it_runs(store, folder, canary, monkeypatch, harm, named):
    registry, version, _, _ = store
    monkeypatch.setattr(sys, "path", [str(canary.file.parent), *sys.path])
    (canary.file.parent / "harm.py").write_text(canary.module)  # importing a type that the model names would run this
    harm(folder, canary)
    version = recorded(version, artifact_digest(folder))  # who can write files may well claim their digest
    with pytest.raises(UntrustedModel) as refusal:
        registry.load_model(version, MODEL)
    assert named in str(refusal.value)
    assert str(version) in str(refusal.value)
    assert not canary.file.exists()
    assert "harm" not in sys.modules


def test_the_harm_is_real_mlflow_alone_runs_it(folder, canary):
    import mlflow

    own_loader(folder, canary)
    with pytest.raises(mlflow.MlflowException, match="predict_proba"):  # too late
        mlflow.pyfunc.load_model(str(folder))
    assert canary.file.exists()
    sys.modules.pop("harm")


def test_changed_files_are_refused_though_nothing_in_them_is_forbidden(store, folder):
    registry, version, _, _ = store
    version = recorded(version, artifact_digest(folder))
    registry.load_model(version, MODEL)
    with pytest.raises(ModelError, match="lacks a fact about its files"):
        registry.load_model(registry.get_version(version.model, version.number), MODEL)
    file = folder / "input_example.json"
    file.write_text(file.read_text().replace("0.0", "0.5", 1))
    with pytest.raises(UntrustedModel, match=r"digest [0-9a-f]{12}, not the recorded .*changed"):
        registry.load_model(version, MODEL)


def linked(folder, _):
    (folder / "requirements.txt").unlink()
    (folder / "requirements.txt").symlink_to("/etc/passwd")


def hard_linked(folder, _):
    os.link(folder / "MLmodel", folder.parent / "elsewhere")


def piped(folder, _):
    (folder / "input_example.json").unlink()
    os.mkfifo(folder / "input_example.json")


def gigantic(folder, _):
    os.truncate(folder / "model.skops", 2**29 + 1)


def gone(folder, _):
    (folder / "model.skops").unlink()
    (folder / "model.skops").symlink_to(folder / "nowhere")


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (linked, "requirements.txt is a link or no file"),
        (hard_linked, "MLmodel is a link or no file"),
        (piped, "input_example.json is a link or no file"),
        (gigantic, "model.skops has 536870913 bytes, more than 536870912"),
        (gone, "there is no model.skops"),
    ],
)
def test_links_pipes_and_giants_are_seen_in_the_folder_itself(store, tmp_path, harm, named):
    """A download follows links, so these are shown where they would lie."""
    shutil.copytree(store[3], tmp_path / "model")
    harm(tmp_path / "model", None)
    assert any(named in found for found in scan_folder(tmp_path / "model", MODEL))


def test_a_link_where_a_laptop_keeps_the_files_is_a_refusal_and_a_pipe_is_not_waited_for(store, folder):
    registry, version, _, _ = store
    for harm in (linked, piped, gone):
        harm(folder, None)
        with pytest.raises(UntrustedModel, match=r"dev\.toy\.model version 1 is not loaded: .* is a link or no file"):
            registry.load_model(version, MODEL)


def trial_of(store, folder, harm, *trusted):
    """What becomes of a model that inspection lets pass, since the use case trusts its types, when it is asked."""
    registry, version, _, _ = store
    if harm is not None:
        pipeline = Pipeline([("harm", harm), ("model", LogisticRegression().fit(FRAME, np.arange(40) % 2))])
        harm.feature_names_in_ = np.array(["a", "b"], dtype=object)
        skops.io.dump(pipeline, folder / "model.skops")
    version = recorded(version, artifact_digest(folder))
    features = [SimpleNamespace(name=name, dtype="double", input_type="double") for name in FRAME.columns]
    model = Model(build=MODEL.build, trusted_types=trusted)
    use_case = SimpleNamespace(features=features, model=model, label=BINARY.label)
    return run_trial(registry, version, use_case, FRAME)


def test_a_model_answers_in_a_process_of_its_own_what_it_answers_here(store, folder):
    registry, version, _, _ = store
    trial = trial_of(store, folder, None)
    here = registry.load_model(version, MODEL).predict_proba(FRAME)[:, 1]
    assert np.array_equal(trial.p, here)
    assert [text.partition(":")[0] for text in trial.contract.problems] == ["missing numbers raised ValueError"]
    assert trial.contract.latency_ms > 0


def test_a_model_that_wants_all_memory_is_a_refusal(store, folder):
    giant = PolynomialFeatures().fit(FRAME)
    giant._max_degree, giant._n_out_full, giant.n_output_features_ = 60_000, 10**10, 10**10
    with pytest.raises(ModelError, match=r"MemoryError|ended with"):
        trial_of(store, folder, giant)


@pytest.mark.parametrize(
    ("harm", "said"), [("kill -SEGV $$", "ended with SIGSEGV"), ("exit 139", "ended with exit code 139")]
)
def test_a_process_that_ends_badly_is_a_refusal(store, folder, tmp_path, monkeypatch, harm, said):
    (tmp_path / "python").write_text(f"#!/bin/sh\n{harm}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(isolated_scoring.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UntrustedModel, match=said):
        trial_of(store, folder, None)


def test_a_model_that_does_not_end_is_a_refusal(store, folder, monkeypatch):
    monkeypatch.setattr(isolated_scoring, "_SECONDS", 0.2)
    with pytest.raises(UntrustedModel, match=r"did not answer within 0\.2 s"):
        trial_of(store, folder, None)


def test_a_type_of_the_use_cases_own_comes_in_by_its_name_in_the_project(store, folder, canary):
    transform_by(os.system)(folder, canary)
    assert scan_folder(folder, Model(build=MODEL.build, trusted_types=("posix.system",))) == []


def test_a_package_of_the_use_cases_own_comes_in_by_its_name_in_the_project(store, folder, canary):
    text("requirements.txt", "\nlightgbm==4.6.0")(folder, canary)
    conda = yaml.safe_load((folder / "conda.yaml").read_text())
    conda["dependencies"][-1]["pip"].append("lightgbm==4.6.0")
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda))
    assert scan_folder(folder, Model(build=MODEL.build, trusted_types=("lightgbm.basic.Booster",))) == []


def test_all_that_was_found_is_said_at_once(store, folder, canary):
    key("auth_policy", {})(folder, canary)
    text("requirements.txt", "\nharm==1.0")(folder, canary)
    assert len(scan_folder(folder, MODEL)) >= 3
