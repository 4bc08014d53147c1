from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.batch.job_ids import MAX_ID_BYTES, folded_id, id_problem, unique_id
from realtime_core.batch.manifest import Job, JobTurn, ManifestError, fingerprint, load_jobs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.wav", "deep/c.wav", "deep/.hidden.wav", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"RIFF")
    return tmp_path


def manifest(folder: Path, *lines: object, name: str = "m.jsonl") -> Path:
    path = folder / name
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n")
    return path


def problems(*inputs: Path | str) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        load_jobs(inputs)
    return caught.value.problems


# Files, folders, globs


def test_a_folder_gives_its_recordings_sorted_and_hidden_ones_not(folder: Path):
    assert [job.id for job in load_jobs([folder])] == ["a", "b", "c"]


def a_batch(folder: Path) -> Path:
    """A folder as `realtime batch` leaves it."""
    (folder / "audio" / "a").mkdir(parents=True)
    (folder / "audio" / "a" / "answer.wav").write_bytes(b"RIFF")
    (folder / "batch.json").write_text('{"format": "realtime-batch"}')
    (folder / "results.jsonl").touch()
    return folder


def test_results_that_lie_in_a_folder_are_no_recordings_of_it(folder: Path):
    a_batch(folder / "out")
    a_batch(folder / "deep" / "out")
    (folder / "deep" / "batch.json").write_text("{}")  # of something else
    assert [job.id for job in load_jobs([folder])] == ["a", "b", "c"]
    assert [job.id for job in load_jobs([f"{folder}/**/*.wav"])] == ["a", "b", "c"]


def test_results_are_recordings_where_they_are_named(folder: Path):
    out = a_batch(folder / "out")
    for named in (out, out / "audio", out / "audio" / "*" / "answer.wav", out / "**" / "*.wav"):
        assert [job.id for job in load_jobs([named])] == ["answer"]


def test_a_folder_that_cannot_be_looked_into_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.scandir

    def scandir(path: Any) -> Any:
        if os.fspath(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert problems(folder) == (f"{folder}/deep cannot be read: Permission denied",)


@pytest.mark.parametrize("column", ["expected", "said", "instructions"])
def test_halves_of_characters_are_refused(folder: Path, column: str):
    path = manifest(folder, {"audio": "a.wav"}, {"audio": "a.wav", column: "\ud83d"})
    assert problems(path) == (f"{path}:2: it has half of a character in it, '\\ud83d'",)
    tools = '"[{""type"": ""function"", ""name"": ""\\udc00""}]"'
    path = manifest(folder, "audio,tools", f"a.wav,{tools}", name="m.csv")
    assert problems(path) == (f"{path}:2: tools: it has half of a character in it, '\\udc00'",)
    whole = manifest(folder, {"audio": "a.wav", column: "\N{GRINNING FACE}"})
    assert load_jobs([whole])


def test_a_glob_and_a_file_give_jobs_in_their_order(folder: Path):
    jobs = load_jobs([folder / "deep" / "c.wav", f"{folder}/*.wav"])
    assert [job.id for job in jobs] == ["c", "a", "b"]
    assert jobs[0].turns[0].audio == str(folder / "deep" / "c.wav")


def test_files_of_the_same_name_get_different_ids(folder: Path):
    jobs = load_jobs([folder / "a.wav", folder / "a.wav", folder / "a.wav"])
    assert [job.id for job in jobs] == ["a", "a-2", "a-3"]


def test_a_file_called_like_a_glob_is_the_file(folder: Path):
    (folder / "[x]*.wav").write_bytes(b"RIFF")
    (job,) = load_jobs([folder / "[x]*.wav"])
    assert job.id == "[x]_"


def test_what_is_not_there_is_refused_all_at_once(folder: Path):
    (folder / "empty").mkdir()
    found = problems("/nowhere/x.wav", f"{folder}/*.mp3", folder / "empty")
    assert len(found) == 3


def test_nothing_is_nothing_to_do():
    assert problems() == ("there is nothing to do: no recording was given",)


# Manifests


def test_a_manifest_gives_all_that_a_job_can_have(folder: Path):
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    path = manifest(
        folder,
        {
            "id": "one",
            "turns": [{"audio": "a.wav", "expected": "hello"}, {"audio": "b.wav", "said": "hm"}],
            "instructions": "Be brief.",
            "tools": [tool],
            "tool_outputs": {"weather": {"sky": "blue"}},
            "session": {"audio": {"output": {"voice": "ash"}}},
        },
        "",
        {"audio": "deep/c.wav"},
    )
    one, two = load_jobs([path])
    assert one == Job(
        id="one",
        turns=(
            JobTurn(audio=str(folder / "a.wav"), name="a.wav", expected="hello"),
            JobTurn(audio=str(folder / "b.wav"), name="b.wav", said="hm"),
        ),
        instructions="Be brief.",
        tools=(tool,),
        tool_outputs={"weather": '{"sky": "blue"}'},
        session={"audio": {"output": {"voice": "ash"}}},
    )
    assert two.id == "c"
    assert two.turns[0].audio == str(folder / "deep" / "c.wav")


def test_csv_and_jsonl_say_the_same(folder: Path):
    entries = [
        {"id": "one", "audio": "a.wav", "expected": 'say "hi", all\nof you', "session": {"x": [1]}},
        {"id": "two", "turns": [{"audio": "b.wav"}]},
    ]
    as_csv = folder / "m.csv"
    as_csv.write_text(
        "\ufeffid,audio,expected,session,turns\r\n"
        'one,a.wav,"say ""hi"", all\nof you","{""x"": [1]}",\r\n'
        'two,,,,"[{""audio"": ""b.wav""}]"\r\n',
        encoding="utf-8",
        newline="",
    )
    assert load_jobs([as_csv]) == load_jobs([manifest(folder, *entries)])


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"audio": "a.wav", "color": "red"}, "there is no column 'color'"),
        ({"id": "x"}, "give either audio or turns"),
        ({"audio": "a.wav", "turns": [{"audio": "a.wav"}]}, "give either audio or turns"),
        ({"turns": []}, "turns: list should have at least 1 item"),
        ({"turns": [{"audio": "a.wav", "x": 1}]}, "there is no column 'turns.0.x'"),
        ({"audio": "missing.wav"}, "there is no file 'missing.wav'"),
        ({"audio": "\0"}, "there is no file '\\x00'"),
        ({"audio": "."}, "there is no file '.'"),
        ({"audio": 3}, "audio: input should be a valid string"),
        ({"audio": "a.wav", "session": []}, "session: input should be a valid dictionary"),
        ({"audio": "a.wav", "tools": [{"name": "x"}]}, "tools.0.type: field required"),
        ({"audio": "a.wav", "tool_outputs": {"x": 1}}, "no tool is called so"),
        ({"turns": [{"audio": "a.wav"}], "expected": "x"}, "belong into each turn"),
        ("[1]", "it is a JSON list, not an object"),
        ("{", "it is no JSON"),
        ("null", "it is null"),
        ('{"audio": "a.wav", "audio": "b.wav"}', "'audio' is there twice"),
        ('{"audio": "a.wav", "session": {"x": NaN}}', "NaN is no number"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line(folder: Path, entry: object, told: str):
    path = manifest(folder, {"audio": "a.wav"}, "", entry)
    (found, *_) = problems(path)
    assert found.startswith(f"{path}:3: ")
    assert told in found


@pytest.mark.parametrize(
    "wrong",
    [
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "nul",
        "NUL.wav",
        "con",
        "Com1",
        "lpt9.txt",
        ".",
        "..",
        "",
        "a\0b",
        "a\nb",
        "a\x1b[31m",
        "C:x",
        "x.",
        "x ",
        " x",
        "what?",
        "\u202etxt",
        "x" * 10_000,
        "ä" * 101,
    ],
)
def test_an_id_that_is_no_safe_name_is_refused_with_its_line(folder: Path, wrong: str):
    path = manifest(folder, {"id": "fine", "audio": "a.wav"}, {"id": wrong, "audio": "a.wav"})
    (found,) = problems(path)
    assert found.startswith(f"{path}:2: ")
    assert "id" in found
    assert len(found) < 400


@pytest.mark.parametrize(("one", "other"), [("x", "x"), ("X", "x"), ("é", "e\u0301")])
def test_ids_that_some_file_system_takes_for_the_same_are_refused(
    folder: Path, one: str, other: str
):
    path = manifest(folder, {"id": one, "audio": "a.wav"}, {"id": other, "audio": "b.wav"})
    assert problems(path) == (f"{path}:2: the id {other!r} is taken already, by {path}:1",)


def test_ids_are_different_over_all_inputs(folder: Path):
    one = manifest(folder, {"id": "x", "audio": "a.wav"}, name="1.jsonl")
    two = manifest(folder, {"id": "x", "audio": "a.wav"}, name="2.jsonl")
    assert problems(one, two) == (f"{two}:1: the id 'x' is taken already, by {one}:1",)


def test_an_id_that_is_given_wins_over_one_that_is_made(folder: Path):
    path = manifest(folder, {"audio": "a.wav"}, {"id": "a", "audio": "b.wav"})
    assert [job.id for job in load_jobs([path])] == ["a-2", "a"]


def test_everything_that_is_wrong_is_told_and_a_message_stays_short(folder: Path):
    path = manifest(folder, *({"audio": f"{n}.wav"} for n in range(100)))
    with pytest.raises(ManifestError) as caught:
        load_jobs([path])
    assert len(caught.value.problems) == 100
    assert str(caught.value).endswith("and 80 more")


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "the first line must name the columns"),
        ("id,sound\nx,a.wav\n", 1, "there is no column 'sound'"),
        ("id,audio,id\nx,a.wav,y\n", 1, "the column 'id' is there twice"),
        ("id,audio\nx,a.wav\ny\n", 3, "there are 1 cells for 2 columns"),
        ("id,audio\nx,a.wav,z\n", 2, "there are 3 cells for 2 columns"),
        ('id,audio\n"x\ny",a.wav\nz,\n', 2, "the id 'x\\ny' has '\\n' in it"),
        ('id,audio\nx,"a.wav"b\n', 2, "it is no CSV"),
        ("audio,session\na.wav,{\n", 2, "session: it is no JSON"),
        ("audio,turns\na.wav,null\n", 2, "turns: it is null"),
        ("id,audio\n\n", 0, "there is no job in it"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(folder: Path, text: str, line: int, told: str):
    path = folder / "m.csv"
    path.write_text(text, newline="")
    found = problems(path)[0]
    assert found.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert told in found


@pytest.mark.parametrize("name", ["m.jsonl", "m.csv"])
def test_what_is_not_utf_8_is_refused(folder: Path, name: str):
    (folder / name).write_bytes(b'{"audio": "\xff"}\n' if name == "m.jsonl" else b"audio\n\xff\n")
    assert "it is not UTF-8" in problems(folder / name)[0]


def test_an_empty_manifest_and_one_that_is_not_there_are_refused(folder: Path):
    assert problems(manifest(folder, "")) == (f"{folder}/m.jsonl: there is no job in it",)
    assert "cannot be read" in problems(folder / "none.jsonl")[0]


def test_a_recording_at_a_url_is_taken_as_it_is(folder: Path):
    path = manifest(
        folder,
        {"audio": "s3://bucket/calls/one.wav"},
        {"audio": (folder / "a.wav").as_uri()},
    )
    there, here = load_jobs([path])
    assert (there.id, there.turns[0].audio) == ("one", "s3://bucket/calls/one.wav")
    assert here.turns[0].audio == str(folder / "a.wav")


# Fingerprints


def test_a_fingerprint_changes_with_anything_of_a_job(folder: Path):
    jobs = load_jobs([folder])
    same = load_jobs([folder])
    assert fingerprint(jobs) == fingerprint(same)
    assert fingerprint(jobs[:2]) != fingerprint(jobs)
    changed = [jobs[0].model_copy(update={"instructions": "x"}), *jobs[1:]]
    assert fingerprint(changed) != fingerprint(jobs)
    before = fingerprint(jobs)
    (folder / "a.wav").write_bytes(b"RIFF and more")
    assert fingerprint(jobs) != before


# Laws


@given(st.text(max_size=250), st.sets(st.text(max_size=4)))
def test_an_id_that_is_made_is_safe_and_free(name: str, taken: set[str]):
    in_use = {folded_id(each) for each in taken}
    made = unique_id(name, in_use)
    assert id_problem(made) is None
    assert folded_id(made) not in in_use


@given(st.text(max_size=250))
def test_a_safe_id_is_the_name_of_one_folder_inside(text: str):
    if id_problem(text) is None:
        path = Path("/base") / text
        assert path.parent == Path("/base")
        assert path.name == text
        assert len(text.encode()) <= MAX_ID_BYTES
