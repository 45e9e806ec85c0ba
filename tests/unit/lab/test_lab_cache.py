"""Content hashes and the cache: equal inputs meet, different ones never, half-made things vanish."""

from pathlib import Path

import pytest

from lab import build, cache, recipes
from lab.instance import REPOSITORY


def test_a_digest_tells_apart_what_only_looks_alike_when_joined() -> None:
    lists = [
        [("ab", b"c")],
        [("a", b"bc")],
        [("a", b"b"), ("c", b"")],
        [("a", b""), ("b", b"c")],
        [],
    ]
    assert len({cache.digest(parts) for parts in lists}) == len(lists)


def test_file_parts_are_sorted_and_leave_compiled_python_out(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert cache.file_parts(tmp_path, ("**/*", "*.py")) == [("a.py", b"a.py"), ("b.py", b"b.py")]


def test_a_failed_making_publishes_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    target = tmp_path / "thing"

    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        cache.publish(target, fail)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    cache.publish(target, lambda folder: (folder / "whole").touch())
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_what_is_published_is_not_made_again(tmp_path: Path) -> None:
    made: list[Path] = []
    for _ in range(2):
        cache.publish(tmp_path / "thing", made.append)
    assert len(made) == 1


@pytest.mark.parametrize("name", ["main.go", "go.mod", "go.sum"])
def test_a_program_is_keyed_by_each_of_its_files(tmp_path: Path, name: str) -> None:
    for file in ("main.go", "go.mod", "go.sum"):
        (tmp_path / file).write_text("one")
    program = build.PROGRAMS["kube"]
    before = build.key(program, tmp_path)
    assert build.key(program, tmp_path) == before
    (tmp_path / name).write_text("two")
    assert build.key(program, tmp_path) != before


def test_a_program_is_keyed_by_its_flags(tmp_path: Path) -> None:
    kube = build.PROGRAMS["kube"]
    other = build.Program(kube.name, kube.module, kube.package, kube.title, kube.usual, ("-X a=b",))
    assert build.key(kube, tmp_path) != build.key(other, tmp_path)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("kubernetes", f"k8s.io/kubernetes v{build.KUBERNETES}\n"),
        ("helm", f"helm.sh/helm/v4 v{build.HELM}"),
    ],
)
def test_a_module_and_its_version_flags_name_one_version(module: str, line: str) -> None:
    assert line in (REPOSITORY / "dev" / module / "go.mod").read_text()


def copy_of_inputs(name: str, target: Path) -> None:
    """The part of the repository that an image and its base are made from."""
    recipe: recipes.Recipe | None = recipes.RECIPES[name]
    while recipe:
        for relative, content in recipes.context_parts(recipe):
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            (target / relative).write_bytes(content)
        recipe = recipes.RECIPES[recipe.base] if recipe.base else None


@pytest.mark.parametrize(
    "changed",
    [
        "operator/savedmodel_operator/__init__.py",
        "dev/requirements/operator.txt",
        "dev/images/savedmodel-operator/Dockerfile",
        "dev/images/base/make",
    ],
)
def test_an_image_is_keyed_by_everything_it_is_made_from(tmp_path: Path, changed: str) -> None:
    copy_of_inputs("savedmodel-operator", tmp_path)
    before = recipes.image("savedmodel-operator", tmp_path)
    with (tmp_path / changed).open("a") as file:
        file.write("# changed\n")
    after = recipes.image("savedmodel-operator", tmp_path)
    assert after.reference != before.reference
    assert after.stable == before.stable == "localhost/savedmodel-operator:dev"


@pytest.mark.parametrize("name", sorted(recipes.RECIPES))
def test_what_a_dockerfile_copies_is_in_its_context(name: str) -> None:
    recipe = recipes.RECIPES[name]
    context = [path for path, _ in recipes.context_parts(recipe)]
    context += [f"bin/{program}" for program in recipe.programs]
    context += [recipe.prepare] if recipe.prepare else []
    text = (REPOSITORY / recipe.dockerfile).read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line.startswith(("COPY ", "ADD "))]
    sources = [word for line in lines if "--from" not in line[1] for word in line[1:-1]]
    missing = [s for s in sources if not any(p == s or p.startswith(s + "/") for p in context)]
    assert missing == []
